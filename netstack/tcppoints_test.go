// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
)

// An instance has the two TCP points from the beginning; who leaves something behind is named at its end.
func TestTCPPointsOfInstance(t *testing.T) {
	var log bytes.Buffer
	i, err := netstack.New(netstack.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Points().Get(hhook.TCP, netstack.TCPEstablishedIn); err != nil {
		t.Error(err)
	}
	if _, err := i.Points().Register(hhook.FirstFreeType, 7, 0); err != nil {
		t.Error(err)
	}
	ended := false
	if _, err := i.Helpers().Load(khelp.Config{Name: "mine", Destroy: func() { ended = true }, Hooks: []hhook.Hook{
		{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: func(*hhook.Call) {}},
	}}); err != nil {
		t.Error(err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if !ended {
		t.Error("the helper was not unloaded")
	}
	for _, name := range []string{"point tcp/0 (references: 1)", "point type_256/7"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("%q is not in the log: %s", name, log.String())
		}
	}
}

func TestFlowKstatIsBuiltIn(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, err := r.CreateKstat(netstack.KstatConfig{Module: "tcp", Name: "flows", Counters: []netstack.KstatCounter{{Name: "mine", Value: new(atomic.Uint64)}}})
	if !errors.Is(err, netstack.ErrExists) {
		t.Error(err)
	}
	if got := flowKstat(t, r.Instance, "flows"); got != 0 {
		t.Errorf("%d flows", got)
	}
}
