// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every Go name in the two glossaries is there.
func TestGlossaries(t *testing.T) {
	names := map[string]bool{}
	for pkg, dir := range map[string]string{"hhook": "../hhook", "khelp": "."} {
		for name := range exported(t, dir) {
			names[pkg+"."+name] = true
		}
	}
	goName := regexp.MustCompile(`\b(?:hhook|khelp)\.[A-Z]\w*(?:\.[A-Z]\w*)?`)
	for _, path := range []string{"../hhook/doc.go", "doc.go"} {
		text, err := os.ReadFile(path)
		wantNone(t, err)
		_, glossary, _ := strings.Cut(string(text), "# Glossary")
		entries := 0
		for line := range strings.Lines(glossary) {
			entry, isEntry := strings.CutPrefix(line, "//\t")
			if !isEntry {
				continue
			}
			entries++
			found := goName.FindAllString(entry, -1)
			if len(found) == 0 && !strings.Contains(entry, "none: ") {
				t.Errorf("%s: neither a Go name nor why there is none: %s", path, entry)
			}
			for _, name := range found {
				if !names[name] {
					t.Errorf("%s: there is no %s", path, name)
				}
			}
		}
		if entries == 0 {
			t.Errorf("%s has no glossary", path)
		}
	}
}

// exported returns the names of the package in dir, methods and fields as "T.M".
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	wantNone(t, err)
	names := map[string]bool{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		wantNone(t, err)
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addSpec(names, spec)
				}
			}
		}
	}
	return names
}

// receiver returns "T." for a method of T or *T.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		typ = pointer.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return "?." // generic: not in the glossaries
}

func addSpec(names map[string]bool, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[spec.Name.Name] = true
		if structure, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					names[spec.Name.Name+"."+name.Name] = true
				}
			}
		}
	}
}
