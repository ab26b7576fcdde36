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

// glossaries are the documentation with a glossary, and what it must not leave out: the functions of hook.c, of hook(9F) and of
// neti; of hhook(9) and kern_hhook.c; of khelp(9), kern_khelp.c and osd(9).
var glossaries = map[string]string{
	"doc.go": `
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
`,
	"hhook/doc.go": `
hhook_head_register hhook_head_deregister hhook_head_deregister_lookup hhook_head_get hhook_head_release
hhook_head_is_virtualised hhook_head_is_virtualised_lookup hhook_add_hook hhook_add_hook_lookup hhook_remove_hook
hhook_remove_hook_lookup hhook_run_hooks HHOOKS_RUN_IF HHOOKS_RUN_LOOKUP_IF
`,
	"khelp/doc.go": `
KHELP_DECLARE_MOD KHELP_DECLARE_MOD_UMA khelp_register_helper khelp_deregister_helper khelp_init_osd khelp_destroy_osd
khelp_get_osd khelp_get_id khelp_add_hhook khelp_remove_hhook
osd_register osd_deregister osd_set osd_reserve osd_set_reserved osd_free_reserved osd_get osd_del osd_call osd_exit
`,
}

var (
	goName   = regexp.MustCompile(`\b(hooks|hhook|khelp|netstack|packet|instances)\.([A-Z]\w*(?:\.[A-Z]\w*)?)`)
	wordName = regexp.MustCompile(`\w+`)
)

// TestGlossary resolves every Go name in the glossaries, and checks that every line names one or says why there is none.
func TestGlossary(t *testing.T) {
	names := map[string]map[string]bool{}
	for pkg, dir := range map[string]string{
		"hooks": ".", "hhook": "hhook", "khelp": "khelp", "netstack": "../netstack", "packet": "../packet", "instances": "../instances",
	} {
		names[pkg] = exportedNames(t, dir)
	}
	for path, originals := range glossaries {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, glossary, found := strings.Cut(string(text), "// # Glossary")
		if !found {
			t.Fatalf("%s: no glossary", path)
		}
		words := map[string]bool{}
		for line := range strings.Lines(glossary) {
			entry, isEntry := strings.CutPrefix(line, "//\t")
			if !isEntry {
				continue
			}
			for _, word := range wordName.FindAllString(entry, -1) {
				words[word] = true
			}
			found := goName.FindAllStringSubmatch(entry, -1)
			if len(found) == 0 && !strings.Contains(entry, "none: ") {
				t.Errorf("%s: neither a Go name nor why there is none: %s", path, entry)
			}
			for _, name := range found {
				if !names[name[1]][name[2]] {
					t.Errorf("%s: there is no %s", path, name[0])
				}
			}
		}
		for name := range strings.FieldsSeq(originals) {
			if !words[name] {
				t.Errorf("%s: no entry for %s", path, name)
			}
		}
	}
}

// exportedNames returns the functions, types, methods, fields, constants and variables of the
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
					if values, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range values.Names {
							names[name.Name] = true
						}
					}
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
