// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strconv"

	"github.com/hooknet/hooknet/hooks"
)

// Why a packet was dropped. Every drop has exactly one of these reasons or one
// of the package hooks. They are here, and not where the drops happen, so that
// one array of [NumReasons] counters holds them all.
const (
	// ReasonHook: a hook answered Drop and gave no reason of its own.
	ReasonHook hooks.Reason = hooks.FirstFreeReason + iota

	// Malformed packets.
	ReasonTruncated       // fewer bytes than the IP header, or than its length field says
	ReasonVersion         // neither IPv4 nor IPv6
	ReasonHeaderLength    // IPv4 header length below 20
	ReasonTotalLength     // length field that cannot be: below the header's length, or 0 with a payload following
	ReasonHeaderChecksum  // IPv4 header checksum wrong
	ReasonIPOption        // IPv4 option of a length that cannot be, or that cannot be filled in
	ReasonExtensionHeader // IPv6 hop-by-hop header broken or asking for the drop
	ReasonFragment        // IPv4 fragment beyond 65535 bytes, or not the last and not a multiple of 8 bytes
	ReasonOffloadMetadata // GSO or checksum metadata that does not fit the packet
	ReasonTransportHeader // transport header cut short where it is needed
	ReasonTransportChecksum

	// Packets a router does not forward, whatever its routes.
	ReasonMartianSource      // source address that cannot be one, or is our own
	ReasonMartianDestination // destination address that cannot be one
	ReasonReversePath        // the way back to the source is not by where the packet came in (RFC 3704)
	ReasonSourceRoute        // IPv4 source route, IPv6 type 0 routing header
	ReasonLinkLocal          // link-local scope
	ReasonMulticast
	ReasonBroadcast
	ReasonForwardingDisabled

	// What the routes, or the want of one, say.
	ReasonNoRoute
	ReasonUnreachable
	ReasonBlackhole
	ReasonProhibited

	// What the way out does not allow.
	ReasonTTLExpired
	ReasonIPv6Disabled // an interface whose MTU is below 1280 carries no IPv6
	ReasonTooBig       // larger than the MTU and must not be fragmented
	ReasonHookGrew     // grown past the MTU by a hook at PHYSICAL_OUT
	ReasonInterfaceDown
	ReasonDeviceWrite // the device refused it
	ReasonDeviceFull  // the device had no room for it

	// Local delivery and resources.
	ReasonHostQueueFull // queue from or to the host stack
	ReasonHostRefused   // the host stack had no use for it
	ReasonInjectQueueFull
	ReasonNoBuffer
	ReasonClosing // its interface or instance is being closed

	endOfReasons
)

// NumReasons is one more than the greatest reason with a name: the size of an
// array of counters indexed by reason.
const NumReasons = int(endOfReasons)

var reasonNames = [NumReasons]string{
	hooks.ReasonNone:         "none",
	hooks.ReasonPanic:        "panic",
	hooks.ReasonDisabled:     "disabled",
	hooks.ReasonVerdict:      "verdict",
	ReasonHook:               "hook",
	ReasonTruncated:          "truncated",
	ReasonVersion:            "version",
	ReasonHeaderLength:       "header_length",
	ReasonTotalLength:        "total_length",
	ReasonHeaderChecksum:     "header_checksum",
	ReasonIPOption:           "ip_option",
	ReasonExtensionHeader:    "extension_header",
	ReasonFragment:           "fragment",
	ReasonOffloadMetadata:    "offload_metadata",
	ReasonTransportHeader:    "transport_header",
	ReasonTransportChecksum:  "transport_checksum",
	ReasonMartianSource:      "martian_source",
	ReasonMartianDestination: "martian_destination",
	ReasonReversePath:        "reverse_path",
	ReasonSourceRoute:        "source_route",
	ReasonLinkLocal:          "link_local",
	ReasonMulticast:          "multicast",
	ReasonBroadcast:          "broadcast",
	ReasonForwardingDisabled: "forwarding_disabled",
	ReasonNoRoute:            "no_route",
	ReasonUnreachable:        "unreachable",
	ReasonBlackhole:          "blackhole",
	ReasonProhibited:         "prohibited",
	ReasonTTLExpired:         "ttl_expired",
	ReasonIPv6Disabled:       "ipv6_disabled",
	ReasonTooBig:             "too_big",
	ReasonHookGrew:           "hook_grew",
	ReasonInterfaceDown:      "interface_down",
	ReasonDeviceWrite:        "device_write",
	ReasonDeviceFull:         "device_full",
	ReasonHostQueueFull:      "host_queue_full",
	ReasonHostRefused:        "host_refused",
	ReasonInjectQueueFull:    "inject_queue_full",
	ReasonNoBuffer:           "no_buffer",
	ReasonClosing:            "closing",
}

// ReasonName returns the name a reason has in counters and reports, such as
// "ttl_expired". A reason without a name, which only a hook can give, becomes
// "reason_" and its number.
func ReasonName(r hooks.Reason) string {
	if int(r) < NumReasons && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return "reason_" + strconv.Itoa(int(r))
}

// ReasonByName is the inverse of [ReasonName]. It reports false for a name
// that ReasonName cannot give. For configuration and output, not for the
// packet path.
func ReasonByName(name string) (hooks.Reason, bool) {
	for r, n := range reasonNames {
		if n != "" && n == name {
			return hooks.Reason(r), true
		}
	}
	const prefix = "reason_"
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return 0, false
	}
	n, err := strconv.ParseUint(name[len(prefix):], 10, 16)
	if err != nil || ReasonName(hooks.Reason(n)) != name {
		return 0, false
	}
	return hooks.Reason(n), true
}
