// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package packet_test

import (
	"testing"

	"github.com/hooknet/hooknet/packet"
)

func TestUseAfterRelease(t *testing.T) {
	for name, use := range map[string]func(p *packet.Packet){
		"Release":         func(p *packet.Packet) { p.Release() },
		"Bytes":           func(p *packet.Packet) { p.Bytes() },
		"Mutable":         func(p *packet.Packet) { p.Mutable() },
		"Parse":           func(p *packet.Packet) { p.Parse() },
		"Len":             func(p *packet.Packet) { p.Len() },
		"Reset":           func(p *packet.Packet) { p.Reset() },
		"Clone":           func(p *packet.Packet) { p.Clone() },
		"Source":          func(p *packet.Packet) { p.Source() },
		"SetTTL":          func(p *packet.Packet) { p.SetTTL(1) },
		"FillChecksum":    func(p *packet.Packet) { p.FillChecksum() },
		"Append":          func(p *packet.Packet) { p.Append(1) },
		"String":          func(p *packet.Packet) { _ = p.String() },
		"Segmenter.Init":  func(p *packet.Packet) { new(packet.Segmenter).Init(p) },
		"Fragmenter.Init": func(p *packet.Packet) { new(packet.Fragmenter).Init(p, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, udp4(t, 10), packet.Offload{})
			p.Release()
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			use(p)
		})
	}
}

// TestReleaseOverwrites: who kept a slice sees that it was not his to keep.
func TestReleaseOverwrites(t *testing.T) {
	p := parse(t, udp4(t, 10), packet.Offload{})
	b := p.Bytes()
	p.Release()
	for _, c := range b {
		if c != 0xdb {
			t.Fatalf("left behind: % x", b)
		}
	}
}
