// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

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

// originals are the functions of hook.c, of hook(9F) and of neti.
const originals = `
hook_alloc hook_free net_hook_register net_hook_unregister hook_run hook_register hook_unregister
net_protocol_register net_protocol_unregister net_protocol_lookup net_protocol_release net_protocol_walk
net_family_register net_family_shutdown net_family_unregister net_event_register net_event_shutdown net_event_unregister
net_instance_notify_register net_instance_notify_unregister net_protocol_notify_register net_protocol_notify_unregister
net_event_notify_register net_event_notify_unregister
hook_stack_init hook_stack_shutdown hook_stack_fini hook_stack_notify_register hook_stack_notify_unregister
hook_family_add hook_family_shutdown hook_family_remove hook_family_notify_register hook_family_notify_unregister
hook_event_add hook_event_shutdown hook_event_remove hook_event_notify_register hook_event_notify_unregister
net_kstat_create net_kstat_delete
net_instance_alloc net_instance_free net_instance_register net_instance_unregister
net_getnetid net_zoneidtonetid net_getzoneidbynetid
net_getifname net_getmtu net_getpmtuenabled net_getlifaddr net_getlifzone net_getlifflags net_phygetnext net_phylookup
net_lifgetnext net_routeto net_ispartialchecksum net_isvalidchecksum net_inject_alloc net_inject_free net_inject
`

// TestGlossary resolves every Go name in the glossary of doc.go, and checks
// that every line names one or says why there is none.
func TestGlossary(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, glossary, found := strings.Cut(string(text), "// # Glossary")
	if !found {
		t.Fatal("no glossary")
	}
	names := map[string]map[string]bool{}
	for _, pkg := range []string{"hooks", "netstack", "packet", "instances"} {
		names[pkg] = exportedNames(t, filepath.Join("..", pkg))
	}
	goName := regexp.MustCompile(`\b(hooks|netstack|packet|instances)\.([A-Z]\w*(?:\.[A-Z]\w*)?)`)
	missing := map[string]bool{}
	for name := range strings.FieldsSeq(originals) {
		missing[name] = true
	}
	for line := range strings.Lines(glossary) {
		entry, isEntry := strings.CutPrefix(line, "//\t")
		if !isEntry {
			continue
		}
		original, _, _ := strings.Cut(strings.Fields(entry + " -")[0], "(9F)")
		delete(missing, original)
		found := goName.FindAllStringSubmatch(entry, -1)
		if len(found) == 0 && !strings.Contains(entry, "none: ") && !strings.Contains(entry, "(later)") {
			t.Errorf("neither a Go name nor why there is none: %s", entry)
		}
		for _, name := range found {
			if pkg, known := names[name[1]]; known && !pkg[name[2]] {
				t.Errorf("there is no %s", name[0])
			}
		}
	}
	for name := range missing {
		t.Errorf("no entry for %s", name)
	}
}

// exportedNames returns the functions, types, methods and fields of the
// package in dir, as "F", "T", "T.M". The methods of an embedded type count as the type's.
func exportedNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Go files in %s: %v", dir, err)
	}
	names := map[string]bool{}
	embedded := map[string][]string{} // type to the types it embeds
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					name = baseType(d.Recv.List[0].Type) + "." + name
				}
				names[name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					typed, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					names[typed.Name.Name] = true
					structure, ok := typed.Type.(*ast.StructType)
					if !ok {
						continue
					}
					for _, field := range structure.Fields.List {
						for _, name := range field.Names {
							names[typed.Name.Name+"."+name.Name] = true
						}
						if len(field.Names) == 0 {
							embedded[typed.Name.Name] = append(embedded[typed.Name.Name], baseType(field.Type))
						}
					}
				}
			}
		}
	}
	for outer, inner := range embedded {
		for name := range names {
			for _, typ := range inner {
				if method, of := strings.CutPrefix(name, typ+"."); of {
					names[outer+"."+method] = true
				}
			}
		}
	}
	return names
}

// baseType returns "T" for T, *T, T[C] and *T[C].
func baseType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return baseType(e.X)
	case *ast.IndexExpr:
		return baseType(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
