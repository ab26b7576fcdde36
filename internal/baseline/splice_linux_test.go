// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package baseline_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/baseline"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// spliced runs a splice between two namespaces, 10.1.0.1 in the first and 10.1.0.2 in
// the second. stop ends it and returns its error.
func spliced(t *testing.T, offload bool) (namespaces [2]*hostnet.Namespace, stop func() error, result <-chan error) {
	t.Helper()
	var tuns [2]*baseline.TUN
	for i, address := range []string{"10.1.0.1/30", "10.1.0.2/30"} {
		ns := hostnettest.Namespace(t)
		err := ns.Do(func() (err error) {
			tuns[i], err = baseline.OpenTUN("hnsplice", offload)
			return err
		})
		hostnettest.Require(t, "/dev/net/tun", err)
		t.Cleanup(func() { _ = tuns[i].Close() })
		if err := ns.Configure(hostnet.LinkConfig{
			Name: tuns[i].Name(), NoAutoconf: true, Addresses: []netip.Prefix{netip.MustParsePrefix(address)},
		}); err != nil {
			t.Fatal(err)
		}
		namespaces[i] = ns
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- baseline.Splice(ctx, tuns[0], tuns[1]) }()
	return namespaces, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			t.Fatal("the splice does not stop")
			return nil
		}
	}, done
}

func TestSplice(t *testing.T) {
	for name, offload := range map[string]bool{"offload": true, "no offload": false} {
		t.Run(name, func(t *testing.T) {
			ns, stop, _ := spliced(t, offload)
			listener := hostnettest.Listen(t, ns[1], "tcp", "10.1.0.2:0")
			want := bytes.Repeat([]byte("splice "), 100_000)
			go func() { // ends with its connection
				conn, err := listener.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := conn.Write(want); err != nil {
					t.Error(err)
				}
				_ = conn.Close()
			}()
			var conn net.Conn
			if err := ns[0].Do(func() (err error) {
				conn, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v; want the %d sent", len(got), err, len(want))
			}
			_ = conn.Close()
			if err := stop(); err != nil {
				t.Errorf("Splice: %v", err)
			}
		})
	}
}

func TestSpliceStopsIdle(t *testing.T) {
	for range 20 {
		_, stop, _ := spliced(t, true)
		begin := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Splice: %v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	}
}

func TestSpliceDeviceDeleted(t *testing.T) {
	ns, _, result := spliced(t, true)
	if err := ns[0].DeleteLink("hnsplice"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		if err == nil {
			t.Error("Splice returned nil, want the error of the read")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the splice goes on")
	}
}
