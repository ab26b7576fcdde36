// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

// fold reduces a sum of 16-bit words to 16 bits, in ones' complement
// arithmetic (RFC 1071). It is 0 only if all words were.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff // at most 33 bits
	sum = sum>>16 + sum&0xffff     // at most 0x2fffe
	sum = sum>>16 + sum&0xffff     // at most 0x10001
	return uint16(sum>>16 + sum)
}
