// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// A checksum that comes out as 0 is written as 0 by TCP (RFC 1624, 3: some receivers compare) and as 0xffff by UDP, for
// which 0 says that there is none (RFC 768).
func TestChecksumZero(t *testing.T) {
	for name, test := range map[string]struct {
		packet []byte
		offset uint16 // of the checksum in the transport header
		want   uint16
	}{
		"tcp4": {tcp4(t, 100), 16, 0},
		"tcp6": {tcp6(t, 100), 16, 0},
		"udp4": {udp4(t, 100), 6, 0xffff},
		"udp6": {udp6(t, 100), 6, 0xffff},
	} {
		t.Run(name, func(t *testing.T) {
			// Adding the checksum to the payload makes the new checksum 0.
			p := parse(t, test.packet, packet.Offload{})
			at := p.TransportOffset()
			field := at + int(test.offset)
			b := append([]byte(nil), test.packet...)
			last := len(b) - 2
			sum := uint32(binary.BigEndian.Uint16(b[last:])) + uint32(binary.BigEndian.Uint16(b[field:]))
			binary.BigEndian.PutUint16(b[last:], foldTest(sum))

			p = parse(t, b, packet.Offload{})
			if !p.DeferChecksum() {
				t.Fatal("no checksum to defer")
			}
			p.FillChecksum()
			if got := binary.BigEndian.Uint16(p.Bytes()[field:]); got != test.want {
				t.Errorf("checksum %#x, want %#x", got, test.want)
			}
			if p.Parse() != hooks.ReasonNone || !p.TransportChecksumValid() {
				t.Error("the checksum is not valid")
			}
		})
	}
}
