// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

// requirementsHooks are our own, and tested where the hooks are.
var requirementsHooks = []requirement{
	{text: "Hooks: order exactly as hinted", tests: []string{"hooks.TestPlacementModel", "hooks.TestTable", "hooks.TestCase046_NoHints"}},
	{text: "Hooks: each packet meets each event at most once per traversal", tests: []string{
		"netstack.TestCase086_Forwarded", "netstack.TestCase085_Local", "netstack.TestCase089_Loopback", "netstack.TestCase092_Fragments",
	}},
	{text: "Hooks: a drop at ingress is never seen by forward", tests: []string{"netstack.TestDrop"}},
	{text: "Hooks: an injected packet enters where the API says and never twice", tests: []string{
		"netstack.TestCase096_QueueIn", "netstack.TestCase097_DirectOut", "netstack.TestCase098_QueueOut", "netstack.TestDelayLine",
	}},
	{text: "Hooks: mutation keeps checksums valid", tests: []string{
		"packet.TestEditsAgainstModel", "packet.TestHeaderChecksumAsComputed", "netstack.TestCase087_RewriteDestination",
	}},
	{text: "Hooks: per-object storage lives exactly as long as the object", tests: []string{
		"hooks/khelp.TestCase113_UnloadIsRefusedWhileObjectsCarryData", "hooks/khelp.TestCase112_OlderObjectsAreSkipped",
	}},
	{text: "Hooks: removing a hook under load loses no packet and runs no removed hook", tests: []string{
		"netstack.TestUnregisterUnderLoad", "hooks.TestStress", "hooks.TestCase076_UnregisterWaits",
	}},
	{text: "Hooks: notify replay equals live order", tests: []string{"hooks.TestCase035_LateRegistrant", "hooks.TestHistoryModel"}},
	{text: "Hooks: counters conserve", tests: []string{"netstack.TestBalance", "hooks.TestCountersNeverGoBack", "hooks.TestStress"}},
}
