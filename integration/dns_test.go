// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hooknet/hooknet/integration/testbed"
)

// zone is what a nameServer knows.
var zone = map[string]dnsmessage.ResourceBody{
	"small.test.": &dnsmessage.AResource{A: netip.MustParseAddr("192.0.2.7").As4()},
	"six.test.":   &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::7").As16()},
	"large.test.": largeText(), // of more bytes than a packet
}

func largeText() *dnsmessage.TXTResource {
	text := new(dnsmessage.TXTResource)
	for _, c := range "abcdefghijklmnop" {
		text.TXT = append(text.TXT, strings.Repeat(string(c), 250))
	}
	return text
}

// serveNames answers questions on a UDP socket, until that is closed. Answers are never truncated: they become fragments.
func serveNames(t *testing.T, c net.PacketConn) {
	t.Helper()
	done := make(chan struct{})
	go func() { // ends when c is closed
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if reply, err := answer(b[:n]); err != nil {
				t.Error(err)
			} else if _, err := c.WriteTo(reply, from); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
}

func answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired},
		Questions: []dnsmessage.Question{question},
	}
	if body, known := zone[question.Name.String()]; known {
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 60},
			Body:   body,
		}}
	} else {
		reply.RCode = dnsmessage.RCodeNameError
	}
	return reply.Pack()
}

// dig asks a server for the names of the zone, and for one that is not in it.
func dig(t *testing.T, from *testbed.Namespace, server, port string) {
	t.Helper()
	ask := func(args ...string) string {
		args = append([]string{"@" + server, "-p", port, "+tries=1", "+time=5", "+notcp", "+ignore", "+bufsize=8000", "+nocookie"}, args...)
		return from.Run(t, "dig", args...)
	}
	for _, test := range []struct{ name, typ, want string }{
		{"small.test.", "A", "192.0.2.7"},
		{"six.test.", "AAAA", "2001:db8::7"},
		{"large.test.", "TXT", strings.Repeat("p", 250)},
		{"missing.test.", "A", "status: NXDOMAIN"},
	} {
		if out := ask(test.name, test.typ); !strings.Contains(out, test.want) {
			t.Errorf("%s %s: no %q in\n%s", test.name, test.typ, test.want, out)
		}
	}
}

func TestDNS(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "dig")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, host := range []string{testbed.Blue4, testbed.Blue6} {
		serveNames(t, r.Blue.ListenPacket(t, "udp", net.JoinHostPort(host, "53")))
		dig(t, r.Red, host, "53")
	}
}

// The server is on the host stack of the instance.
func TestDNSFromInstance(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "dig")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, host := range []string{testbed.Left4, testbed.Left6, testbed.Right4} {
		c, err := r.Instance.ListenPacket("udp", net.JoinHostPort(host, "53"))
		if err != nil {
			t.Fatal(err)
		}
		serveNames(t, c)
		dig(t, r.Red, host, "53")
	}
}

// dnsmasq over UDP and, when the answer is too long for the asker, over TCP.
func TestDNSMasq(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "dig", "dnsmasq")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	long := strings.Repeat("x", 250)
	server := r.Blue.Start(t, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts", "--bind-interfaces", "--log-facility=-",
		"--address=/small.test/192.0.2.7", "--txt-record=large.test,"+strings.Join(slices.Repeat([]string{long}, 6), ","))
	server.Await(t, "started")
	for _, host := range []string{testbed.Blue4, testbed.Blue6} {
		if out := r.Red.Run(t, "dig", "@"+host, "+tries=1", "+time=5", "small.test", "A"); !strings.Contains(out, "192.0.2.7") {
			t.Errorf("%s", out)
		}
		out := r.Red.Run(t, "dig", "@"+host, "+tries=1", "+time=5", "+bufsize=512", "large.test", "TXT")
		if strings.Count(out, long) != 6 || !strings.Contains(out, "(TCP)") {
			t.Errorf("want a long answer by TCP:\n%s", out)
		}
	}
}
