// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package archtest_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/internal/archtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the module's, as seen from this directory, where tests run.
const root = "../.."

// systems are those the module builds for; files for one of them only have imports of their own.
var systems = []string{"linux", "darwin", "windows"}

// list returns the module's packages, as the go command sees them on the given system.
func list(t *testing.T, system string) []archtest.Package {
	t.Helper()
	command := exec.Command("go", "list", "-e", "-deps", "-json", "./...")
	command.Dir = root
	command.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []archtest.Package
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p archtest.Package
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			if len(packages) == 0 {
				t.Fatal("go list names no packages")
			}
			return packages
		case err != nil:
			t.Fatalf("go list: %v", err)
		case !p.DepOnly && strings.HasPrefix(p.ImportPath, archtest.Module+"/"):
			packages = append(packages, p)
		}
	}
}

func TestImports(t *testing.T) {
	for _, system := range systems {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			packages := list(t, system)
			report(t, archtest.CheckImports(archtest.Rooms, packages))
			report(t, archtest.CheckEmbedded(archtest.Embedded, archtest.Unwanted, packages))
			report(t, archtest.CheckNames(packages))
		})
	}
}

func TestTable(t *testing.T) { report(t, archtest.CheckTable(archtest.Rooms)) }

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range list(t, "linux") {
		if broken := archtest.CheckDoc(archtest.Rooms, p); broken != "" {
			t.Error(broken)
		}
	}
}

// TestSignatures: only netstack may show gVisor's types, as it alone deals with gVisor's stack.
func TestSignatures(t *testing.T) {
	for _, p := range list(t, "linux") {
		if p.ImportPath == archtest.Module+"/netstack" {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			report(t, archtest.CheckSignatures(files, file, "gvisor.dev/..."))
		}
	}
}

func TestLicences(t *testing.T) {
	broken, err := archtest.CheckLicences(root)
	if err != nil {
		t.Fatal(err)
	}
	report(t, broken)
}

// TestConformanceCases: each of them has a test.
func TestConformanceCases(t *testing.T) {
	broken, err := archtest.CheckCases(root, archtest.LastCase)
	if err != nil {
		t.Fatal(err)
	}
	report(t, broken)
}

func report(t *testing.T, broken []string) {
	t.Helper()
	for _, line := range broken {
		t.Error(line)
	}
}

// The tests below see to it that the checks find what they are for.

var sample = []archtest.Room{
	{Path: "low"},
	{Path: "low/sub", Rooms: []string{"low"}},
	{Path: "high", Rooms: []string{"low"}, Packages: []string{"example.org/a", "example.org/b/..."}, TestRooms: []string{"helper2"}},
	{Path: "helper2", Anything: true},
}

func TestImportsAreFound(t *testing.T) {
	const m = archtest.Module
	for name, test := range map[string]struct {
		pkg  archtest.Package
		want []string
	}{
		"down":              {archtest.Package{ImportPath: m + "/high", Imports: []string{m + "/low", "fmt", "net/netip"}}, nil},
		"inside the room":   {archtest.Package{ImportPath: m + "/high/in", Imports: []string{m + "/high", m + "/high/out", m + "/low/in"}}, nil},
		"the package":       {archtest.Package{ImportPath: m + "/high", Imports: []string{"example.org/a", "example.org/b", "example.org/b/c"}}, nil},
		"anything":          {archtest.Package{ImportPath: m + "/helper2", Imports: []string{m + "/high", "example.org/z"}}, nil},
		"tests":             {archtest.Package{ImportPath: m + "/high", XTestImports: []string{m + "/high", m + "/helper2", "go.uber.org/goleak"}}, nil},
		"up":                {archtest.Package{ImportPath: m + "/low", Imports: []string{m + "/high"}}, []string{m + "/low imports " + m + "/high; room low may import the standard library"}},
		"to a row below":    {archtest.Package{ImportPath: m + "/low", Imports: []string{m + "/low/sub"}}, []string{m + "/low imports " + m + "/low/sub; room low may import the standard library"}},
		"below the package": {archtest.Package{ImportPath: m + "/high", Imports: []string{"example.org/a/c"}}, []string{m + "/high imports example.org/a/c; room high may import the standard library, low, example.org/a, example.org/b/..."}},
		"like the package":  {archtest.Package{ImportPath: m + "/low/sub", Imports: []string{"example.org/a"}}, []string{m + "/low/sub imports example.org/a; room low/sub may import the standard library, low"}},
		"for tests only":    {archtest.Package{ImportPath: m + "/low", Imports: []string{"go.uber.org/goleak"}}, []string{m + "/low imports go.uber.org/goleak; room low may import the standard library"}},
		"no room":           {archtest.Package{ImportPath: m + "/lower"}, []string{m + "/lower belongs to no room: give it a row in internal/archtest/rooms.go"}},
	} {
		if diff := cmp.Diff(test.want, archtest.CheckImports(sample, []archtest.Package{test.pkg})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	up := archtest.Package{ImportPath: m + "/low", TestImports: []string{m + "/high"}}
	if got := archtest.CheckImports(sample, []archtest.Package{up}); len(got) != 1 || !strings.HasPrefix(got[0], "a test of "+m+"/low imports "+m+"/high; tests in room low may import") {
		t.Errorf("a test that imports upwards: got %q", got)
	}
}

func TestTableFaultsAreFound(t *testing.T) {
	got := archtest.CheckTable([]archtest.Room{
		{Path: "a", Rooms: []string{"b"}},
		{Path: "b", Rooms: []string{"c", "d", "a/below"}},
		{Path: "c", Rooms: []string{"a"}},
		{Path: "c"},
	})
	want := []string{
		"a circle: a > b > c > a",
		"room b lists d, which has no row",
		"room b lists a/below, which has no row",
		"a circle: b > c > a > b",
		"a circle: c > a > b > c",
		"room c has two rows",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnwantedAreFound(t *testing.T) {
	packages := []archtest.Package{
		{ImportPath: archtest.Module + "/low", Deps: []string{"fmt", "testing", "example.org/heavy/x"}},
		{ImportPath: archtest.Module + "/other", Deps: []string{"testing"}},
	}
	got := archtest.CheckEmbedded([]string{"low"}, []string{"testing", "example.org/heavy/..."}, packages)
	want := []string{
		archtest.Module + "/low, which others build in, leads to testing",
		archtest.Module + "/low, which others build in, leads to example.org/heavy/x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := archtest.CheckNames([]archtest.Package{{ImportPath: archtest.Module + "/internal/util"}, packages[0]}); len(got) != 1 {
		t.Errorf("a package called util: got %q, want one line", got)
	}
}

func TestSignaturesAreFound(t *testing.T) {
	const source = `package p
import (
	"gvisor.dev/gvisor/pkg/tcpip"
	h "gvisor.dev/gvisor/pkg/tcpip/header"
)
const Size = h.IPv4MinimumSize
var Address tcpip.Address
var address tcpip.Address
type Exported struct { Shown h.IPv4; hidden h.IPv4; nested struct { Deep h.IPv4 } }
type unexported struct { Shown h.IPv4 }
type Alias = tcpip.Address
type Interface interface { Do(a tcpip.Address) }
func Shows(a int, b tcpip.Address) { var _ h.IPv4 }
func Returns() (view h.IPv4) { return nil }
func hides(a tcpip.Address) {}
func (e *Exported) Method(f func(tcpip.Address)) {}
func (e *unexported) Method(a tcpip.Address) {}
func Clean() int { var v h.IPv4; return len(v) }
`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"p.go:7:13: exported Address shows tcpip.Address",
		"p.go:9:30: exported Exported shows h.IPv4",
		"p.go:11:14: exported Alias shows tcpip.Address",
		"p.go:12:33: exported Interface shows tcpip.Address",
		"p.go:13:21: exported Shows shows tcpip.Address",
		"p.go:14:22: exported Returns shows h.IPv4",
		"p.go:16:34: exported Method shows tcpip.Address",
	}
	if diff := cmp.Diff(want, archtest.CheckSignatures(files, file, "gvisor.dev/...")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSourceFaultsAreFound(t *testing.T) {
	directory := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("good/doc.go", archtest.Licence+"// Package good is good.\npackage good\n")
	write("tool/doc.go", archtest.Licence+"// Tool does things.\npackage main\n")
	write("wrong/doc.go", "// Package right is wrong.\npackage wrong\n")
	write("bare/doc.go", "//go:build linux\n\n"+archtest.Licence+"package bare\n")
	write("bare/testdata/x.go", "package x\n")
	write("room/room.go", archtest.Licence+"// Package room has a comment, but no doc.go.\npackage room\n")
	write("below/below.go", archtest.Licence+"// Package below has a comment.\npackage below\n")

	licences, err := archtest.CheckLicences(directory)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{"bare/doc.go", "wrong/doc.go"} {
		if i >= len(licences) || !strings.Contains(licences[i], path) {
			t.Errorf("licences: got %q, want line %d about %s", licences, i, path)
		}
	}
	rooms := []archtest.Room{{Path: "good"}, {Path: "tool"}, {Path: "wrong"}, {Path: "room"}}
	for name, want := range map[string]string{
		"good": "", "tool": "", "wrong": "does not begin with", "bare": "has no package comment", "room": "has no package comment", "below": "",
	} {
		p := archtest.Package{ImportPath: archtest.Module + "/" + name, Dir: filepath.Join(directory, name), GoFiles: []string{"doc.go", name + ".go"}}
		if got := archtest.CheckDoc(rooms, p); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("doc of %s: got %q, want %q", name, got, want)
		}
	}
}

func TestMissingCasesAreFound(t *testing.T) {
	directory := t.TempDir()
	const source = `package p
func TestCase001_First(t *testing.T) {}
func TestCase3_Third(t *testing.T) {}
func TestCase005_TooMany(t *testing.T) {}
// func TestCase002_Comment(t *testing.T) {}
func (x x) TestCase004_Method(t *testing.T) {}
`
	for _, name := range []string{"p_test.go", "p.go"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := archtest.CheckCases(directory, 4)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "p_test.go")
	want := []string{
		path + ":3:1: TestCase3_Third: expected TestCase001_Words to TestCase004_Words",
		path + ":4:1: TestCase005_TooMany: expected TestCase001_Words to TestCase004_Words",
		"case 2 has no test: expected a function TestCase002_Words",
		"case 3 has no test: expected a function TestCase003_Words",
		"case 4 has no test: expected a function TestCase004_Words",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
