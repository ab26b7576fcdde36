// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "slices"

// place returns list with h added where h's hint and the hints of all others
// hold. list itself is not changed. If no order satisfies all hints, it
// returns nil and the names of the hooks that are in conflict with h.
//
// The place is the one that the original's table gives, where that table
// keeps the promises of hook_t(9S); otherwise the nearest that does; and only
// if there is none are the other hooks moved. The original breaks its promises
// silently when hooks arrive in an unlucky order.
func place(list []*entry, h *entry) (placed []*entry, conflict []string) {
	// h may stand at lowest to highest: behind all that must precede it, and
	// not behind any that it must precede.
	lowest, highest := 0, len(list)
	for i, other := range list {
		if precedes(other, h) {
			lowest = i + 1
		}
		if precedes(h, other) {
			highest = min(highest, i)
		}
	}
	if lowest <= highest {
		at := min(max(suggest(list, h), lowest), highest)
		return slices.Insert(slices.Clone(list), at, h), nil
	}
	return resort(append(slices.Clone(list), h))
}

// precedes reports whether a's or b's hint demands that a runs before b.
func precedes(a, b *entry) bool {
	return a.hint == HintFirst || b.hint == HintLast ||
		a.hint == HintBefore && a.hintValue == b.name ||
		b.hint == HintAfter && b.hintValue == a.name
}

// suggest returns the index at which h would like to be inserted into list,
// looking at one rule only; place corrects it for all others.
func suggest(list []*entry, h *entry) int {
	end := len(list)
	switch h.hint {
	case HintFirst:
		return 0
	case HintLast:
		return end
	case HintBefore, HintAfter:
		target := slices.IndexFunc(list, func(o *entry) bool { return o.name == h.hintValue })
		switch {
		case target < 0:
		case h.hint == HintBefore:
			return target
		default:
			return target + 1 // the newest is the nearest
		}
	}

	// Nobody to stand next to. Hooks that wait for the same name, or for this
	// one, keep the order "those before, the target, those after".
	name := h.hintValue
	if h.hint == HintNone {
		name = h.name
	}
	firstAfter, lastBefore, lastWaiting := -1, -1, -1
	for i, other := range list {
		if other.hintValue != name {
			continue
		}
		lastWaiting = i
		if other.hint == HintBefore {
			lastBefore = i
		} else if firstAfter < 0 {
			firstAfter = i
		}
	}
	switch {
	case lastWaiting < 0:
		return end
	case h.hint == HintAfter:
		return lastWaiting + 1
	case firstAfter >= 0:
		return firstAfter
	}
	return lastBefore + 1
}

// resort orders list anew: again and again it takes the first hook all of
// whose predecessors have been taken. The last element is the new hook. If
// none can be taken there is a cycle, which must pass through the new hook;
// then resort returns the names of the others in it.
func resort(list []*entry) (sorted []*entry, conflict []string) {
	left := slices.Clone(list)
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(h *entry) bool {
			return !slices.ContainsFunc(left, func(o *entry) bool { return o != h && precedes(o, h) })
		})
		if next < 0 {
			return nil, cycle(list)
		}
		sorted = append(sorted, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return sorted, nil
}

// cycle returns the names in the shortest circle of precedes that passes
// through the last hook of list, in running order and without that hook.
func cycle(list []*entry) []string {
	h := list[len(list)-1]
	type step struct {
		entry *entry
		names []string
	}
	seen := map[*entry]bool{}
	for queue := []step{{entry: h}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, next := range list {
			if next == at.entry || !precedes(at.entry, next) {
				continue
			}
			if next == h {
				return at.names
			}
			if !seen[next] {
				seen[next] = true
				queue = append(queue, step{next, append(slices.Clone(at.names), next.name)})
			}
		}
	}
	return nil // not reached: resort failed, so there is a circle
}
