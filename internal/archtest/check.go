// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Package is what is looked at of a package: some of what "go list -json" prints.
type Package struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string // of _test.go files in the package
	XTestImports []string // of _test.go files in package x_test
	Deps         []string // all packages that Imports leads to
	GoFiles      []string
	DepOnly      bool // not named in the call of go list, but needed by one that is
}

// CheckImports compares the imports of packages with the table, and returns what is not allowed, a line each.
func CheckImports(rooms []Room, packages []Package) []string {
	var broken []string
	for _, p := range packages {
		room := roomOf(rooms, p.ImportPath)
		if room == nil {
			broken = append(broken, fmt.Sprintf("%s belongs to no room: give it a row in internal/archtest/rooms.go", p.ImportPath))
			continue
		}
		for _, path := range p.Imports {
			if !mayImport(rooms, room, path, room.Rooms, room.Packages) {
				broken = append(broken, fmt.Sprintf("%s imports %s; room %s may import %s",
					p.ImportPath, path, room.Path, allowed(room.Rooms, room.Packages)))
			}
		}
		testRooms := slices.Concat(room.Rooms, room.TestRooms)
		testPackages := slices.Concat(room.Packages, room.Tests, TestPackages)
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if !mayImport(rooms, room, path, testRooms, testPackages) {
				broken = append(broken, fmt.Sprintf("a test of %s imports %s; tests in room %s may import %s",
					p.ImportPath, path, room.Path, allowed(testRooms, testPackages)))
			}
		}
	}
	return broken
}

// CheckTable returns what is wrong with the table itself: a row twice, a room that no row stands for, a circle.
func CheckTable(rooms []Room) []string {
	var broken []string
	for i, room := range rooms {
		if slices.ContainsFunc(rooms[:i], func(other Room) bool { return other.Path == room.Path }) {
			broken = append(broken, fmt.Sprintf("room %s has two rows", room.Path))
		}
		for _, path := range slices.Concat(room.Rooms, room.TestRooms) {
			if other := roomOf(rooms, Module+"/"+path); other == nil || other.Path != path {
				broken = append(broken, fmt.Sprintf("room %s lists %s, which has no row", room.Path, path))
			}
		}
		if circle := circleFrom(rooms, room, nil); circle != nil {
			broken = append(broken, "a circle: "+strings.Join(circle, " > "))
		}
	}
	return broken
}

// CheckEmbedded returns the packages that come along with embedded rooms and are not wanted there.
func CheckEmbedded(embedded, unwanted []string, packages []Package) []string {
	var broken []string
	for _, p := range packages {
		if !slices.Contains(embedded, strings.TrimPrefix(p.ImportPath, Module+"/")) {
			continue
		}
		for _, dependency := range p.Deps {
			if slices.ContainsFunc(unwanted, func(pattern string) bool { return matches(pattern, dependency) }) {
				broken = append(broken, fmt.Sprintf("%s, which others build in, leads to %s", p.ImportPath, dependency))
			}
		}
	}
	return broken
}

// CheckNames returns the packages that are named for nothing in particular.
func CheckNames(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		for _, element := range strings.Split(p.ImportPath, "/") {
			switch element {
			case "util", "utils", "common", "commons", "misc", "helper", "helpers", "shared", "lib", "base", "core":
				broken = append(broken, fmt.Sprintf("%s: %q names nothing; name a package for what it does", p.ImportPath, element))
			}
		}
	}
	return broken
}

// roomOf returns the row of a package: the one with the longest path that leads to it.
func roomOf(rooms []Room, importPath string) *Room {
	var best *Room
	for i := range rooms {
		path := Module + "/" + rooms[i].Path
		if matches(path+"/...", importPath) && (best == nil || len(rooms[i].Path) > len(best.Path)) {
			best = &rooms[i]
		}
	}
	return best
}

func mayImport(rooms []Room, from *Room, importPath string, toRooms, toPackages []string) bool {
	switch {
	case from.Anything || isStandard(importPath):
		return true
	case matches(Module+"/...", importPath):
		to := roomOf(rooms, importPath)
		return to != nil && (to == from || slices.Contains(toRooms, to.Path))
	default:
		return slices.ContainsFunc(toPackages, func(pattern string) bool { return matches(pattern, importPath) })
	}
}

// circleFrom returns the rooms on a way from room back to itself, or nil.
func circleFrom(rooms []Room, room Room, way []string) []string {
	if i := slices.Index(way, room.Path); i >= 0 {
		if i > 0 {
			return nil // a circle, but one that begins further on
		}
		return append(way, room.Path)
	}
	way = append(way[:len(way):len(way)], room.Path)
	for _, next := range rooms {
		if slices.Contains(room.Rooms, next.Path) {
			if circle := circleFrom(rooms, next, way); circle != nil {
				return circle
			}
		}
	}
	return nil
}

// isStandard tells the standard library's packages by the first element of their paths: it holds no dot.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// matches reports whether a pattern, a path or "path/...", stands for an import path.
func matches(pattern, importPath string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return importPath == tree || isTree && strings.HasPrefix(importPath, tree+"/")
}

func allowed(rooms, packages []string) string {
	return strings.Join(slices.Concat([]string{"the standard library"}, rooms, packages), ", ")
}
