// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
)

// describe says what a received packet is, with all that matters of it:
//
//	right: forwarded                               a packet of the case, byte for byte, but for TTL and header checksum
//	right: fragment 0+1376 more                    of one: offset and length of its payload, of which every byte is right
//	left: time exceeded quoting all                an ICMP error from the address of the interface, with right checksums
//	left: fragmentation needed mtu 1400 quoting 548 bytes
//	left: echo reply                               with the identifier, sequence number and data of the request
//
// A case of several packets has their numbers, too: "forwarded 2". What is none of this is shown in hexadecimal.
func (c *conformance) describe(p received) string {
	return p.side.String() + ": " + c.what(p)
}

func (c *conformance) what(p received) string {
	for i, in := range c.in {
		number := ""
		if len(c.in) > 1 {
			number = fmt.Sprint(" ", i+1)
		}
		if bytes.Equal(p.bytes, forwardedForm(in)) {
			return "forwarded" + number
		}
		if s := icmpErrorAbout(p, in); s != "" {
			return s + number
		}
		if isEcho(p.bytes, in) {
			return "echo reply" + number
		}
		if isTimestampReply(p.bytes, in) {
			return "timestamp reply" + number
		}
		if s := fragmentOf(p.bytes, in, number); s != "" {
			return s
		}
	}
	if c.whole != nil && isEcho(p.bytes, c.whole) {
		return "echo reply"
	}
	return fmt.Sprintf("%x", p.bytes)
}

// forwardedForm is what a router passes on of a packet: the TTL less one, the header checksum to match, no padding.
func forwardedForm(in []byte) []byte {
	b := slices.Clone(in)
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		if total := int(binary.BigEndian.Uint16(b[2:])); total < len(b) {
			b = b[:total]
		}
		b[8]--
		fixHeader(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		if total := 40 + int(binary.BigEndian.Uint16(b[4:])); total < len(b) {
			b = b[:total]
		}
		b[7]--
	}
	return b
}

// fragmentOf describes b if it is an IPv4 fragment of in, which may be one itself, or all of in with other options. Options
// are shown.
func fragmentOf(b, in []byte, number string) string {
	if len(b) < 20 || len(in) < 20 || b[0]>>4 != 4 || in[0]>>4 != 4 || !sound4(b) {
		return ""
	}
	flags, inFlags := binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint16(in[6:])
	header, inHeader := int(b[0]&15)*4, int(in[0]&15)*4
	at, length := int(flags&0x1fff)*8, len(b)-header
	from := inHeader + at - int(inFlags&0x1fff)*8 // in in
	if b[1] != in[1] || !bytes.Equal(b[4:6], in[4:6]) || b[8] != in[8]-1 || b[9] != in[9] || !bytes.Equal(b[12:20], in[12:20]) ||
		from < inHeader || from+length > len(in) || !bytes.Equal(b[header:], in[from:from+length]) {
		return ""
	}
	s := "forwarded" + number
	if flags != inFlags || from+length != len(in) {
		s = fmt.Sprintf("fragment%s %d+%d", number, at, length)
		if flags&0x2000 != 0 {
			s += " more"
		}
		if flags&0xc000 != 0 {
			s += fmt.Sprintf(" flags %x", flags>>14)
		}
	}
	if header > 20 {
		s += " options " + shown(b[20:header])
	}
	return strings.Replace(s, "forwarded options", "forwarded with options", 1)
}

// shown shows options in hexadecimal, with <now> for the time that a timestamp option (RFC 791 section 3.1) has got.
func shown(options []byte) string {
	const timestamp, day = 68, 24 * 60 * 60 * 1000
	if options[0] != timestamp {
		return fmt.Sprintf("%x", options)
	}
	s := fmt.Sprintf("%x", options[:4])
	for entry := options[4:]; len(entry) >= 4; entry = entry[4:] {
		at := int64(binary.BigEndian.Uint32(entry))
		if age := (time.Now().UnixMilli()%day - at + day) % day; at < day && age < 10_000 {
			s += "<now>"
		} else {
			s += fmt.Sprintf("%x", entry[:4])
		}
	}
	return s
}

// sound4 checks the lengths and the header checksum of a packet without padding.
func sound4(b []byte) bool {
	header := int(b[0]&15) * 4
	return header >= 20 && header <= len(b) && int(binary.BigEndian.Uint16(b[2:])) == len(b) && onesSum(b[:header]) == 0xffff
}

// soundICMP6 checks the payload length of an ICMPv6 packet without extension headers, and its checksum.
func soundICMP6(b []byte) bool {
	if len(b) < 48 || b[0]>>4 != 6 || b[6] != 58 || 40+int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return false
	}
	pseudo := binary.BigEndian.AppendUint32(slices.Clone(b[8:40]), uint32(len(b)-40))
	return onesSum(slices.Concat(pseudo, []byte{0, 0, 0, 58}, b[40:])) == 0xffff
}

// isTimestampReply reports whether b answers the ICMP timestamp request.
func isTimestampReply(b, request []byte) bool {
	return len(b) == 40 && len(request) >= 40 && sound4(b) && b[9] == 1 && b[20] == 14 && onesSum(b[20:]) == 0xffff &&
		request[9] == 1 && request[20] == 13 && bytes.Equal(b[24:32], request[24:32])
}

// isEcho reports whether b answers the echo request, of either family, and has right checksums.
func isEcho(b, request []byte) bool {
	if isEchoReply(b, request) {
		return sound4(b) && onesSum(b[int(b[0]&15)*4:]) == 0xffff
	}
	if !soundICMP6(b) || len(request) < 48 || request[0]>>4 != 6 {
		return false
	}
	at := 40
	for next := request[6]; next != 58; next = request[at-8] { // headers of 8 bytes
		if at+16 > len(request) {
			return false
		}
		at += 8
	}
	asked := request[at:]
	to := request[24:40]
	return b[40] == 129 && asked[0] == 128 && bytes.Equal(b[44:], asked[4:]) && bytes.Equal(b[24:40], request[8:24]) &&
		(bytes.Equal(b[8:24], to) || to[0] == 0xff)
}

var errorNames4 = map[[2]byte]string{
	{3, 0}: "net unreachable", {3, 1}: "host unreachable", {3, 2}: "protocol unreachable", {3, 3}: "port unreachable",
	{3, 4}: "fragmentation needed", {3, 5}: "source route failed", {3, 13}: "prohibited", {5, 1}: "redirect",
	{11, 0}: "time exceeded", {11, 1}: "reassembly time exceeded", {12, 0}: "parameter problem",
}

var errorNames6 = map[[2]byte]string{
	{1, 0}: "no route", {1, 1}: "prohibited", {1, 2}: "beyond scope", {1, 3}: "address unreachable", {1, 4}: "port unreachable",
	{2, 0}: "too big", {3, 0}: "time exceeded", {3, 1}: "reassembly time exceeded", {4, 0}: "erroneous header",
	{4, 1}: "unknown next header", {4, 2}: "unknown option", {4, 3}: "incomplete header chain",
}

// icmpErrorAbout describes p if it is an ICMP error that quotes the beginning of in.
func icmpErrorAbout(p received, in []byte) string {
	b := p.bytes
	if len(b) < 28 {
		return ""
	}
	var message []byte
	var from, to, sender netip.Addr
	var name, usual string
	var ours string
	switch {
	case b[0]>>4 == 4 && b[9] == 1 && in[0]>>4 == 4 && len(in) >= 20 && sound4(b):
		message = b[int(b[0]&15)*4:]
		if onesSum(message) != 0xffff {
			return ""
		}
		name = errorNames4[[2]byte(message)]
		from, to, sender = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), netip.AddrFrom4([4]byte(in[12:]))
		ours = [...]string{testbed.Left4, testbed.Right4}[p.side]
		if b[0] != 0x45 {
			usual = " options " + shown(b[20:int(b[0]&15)*4])
		}
		if b[1] != 0xc0 || b[8] != 64 { // internetwork control, RFC 1812 section 4.3.2.5
			usual += fmt.Sprintf(" TOS %x TTL %d", b[1], b[8])
		}
	case soundICMP6(b) && in[0]>>4 == 6 && len(in) >= 40:
		message = b[40:]
		name = errorNames6[[2]byte(message)]
		from, to, sender = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), netip.AddrFrom16([16]byte(in[8:]))
		ours = [...]string{testbed.Left6, testbed.Right6}[p.side]
		if b[7] != 64 {
			usual = fmt.Sprintf(" hop limit %d", b[7])
		}
	default:
		return ""
	}
	quote := message[8:]
	if name == "" || len(quote) < 20 || len(quote) > len(in) || !bytes.Equal(quote[len(quote)-8:], in[len(quote)-8:len(quote)]) {
		return ""
	}
	switch {
	case bytes.HasPrefix(in, quote):
	case bytes.HasPrefix(forwardedForm(in), quote):
		usual += ", decremented"
	default:
		usual += ", changed"
	}
	s := name
	switch rest := binary.BigEndian.Uint32(message[4:]); {
	case name == "fragmentation needed", name == "too big":
		s += fmt.Sprintf(" mtu %d", rest)
	case name == "parameter problem":
		s += fmt.Sprintf(" at %d", rest>>24)
	case b[0]>>4 == 6 && message[0] == 4:
		s += fmt.Sprintf(" at %d", rest)
	case name == "redirect":
		s += " to " + netip.AddrFrom4([4]byte(message[4:])).String()
	case rest != 0:
		s += fmt.Sprintf(" with %x", rest)
	}
	if from.String() != ours {
		s += fmt.Sprintf(" from %v", from)
	}
	if to != sender {
		s += fmt.Sprintf(" to %v", to)
	}
	if len(quote) == len(in) {
		return s + " quoting all" + usual
	}
	return s + fmt.Sprintf(" quoting %d bytes", len(quote)) + usual
}
