// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Licence is how every Go file begins.
const Licence = `// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

`

// CheckLicences returns the Go files below root that do not begin with the licence. Other modules below it, testdata
// and what the go command passes over are left out.
func CheckLicences(root string) ([]string, error) {
	var broken []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (name == "testdata" || name[0] == '.' || name[0] == '_'):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(strings.ReplaceAll(string(text), "\r\n", "\n"), Licence) {
			broken = append(broken, fmt.Sprintf("%s does not begin with the licence:\n%s", path, Licence))
		}
		return nil
	})
	return broken, err
}

// CheckDoc returns what is wrong with a package's comment, or "". It begins with the package's name, or the command's;
// that of a room stands in doc.go, that of a package below one where it likes.
func CheckDoc(rooms []Room, p Package) string {
	names := p.GoFiles
	if room := roomOf(rooms, p.ImportPath); room != nil && p.ImportPath == Module+"/"+room.Path {
		names = []string{"doc.go"}
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil || file.Doc == nil {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimPrefix(file.Doc.Text(), "Package "), " ")
		want := file.Name.Name
		if want == "main" {
			want = filepath.Base(p.Dir)
		}
		if !strings.EqualFold(word, want) {
			return fmt.Sprintf("%s: the package comment in %s does not begin with %q", p.ImportPath, name, "Package "+want)
		}
		return ""
	}
	return fmt.Sprintf("%s has no package comment in %s", p.ImportPath, strings.Join(names, ", "))
}

// CheckSignatures returns the exported declarations of a file that show types of the packages below the given import
// path. What is exported is: functions, methods on exported types, the exported fields and methods of types, constants
// and variables with a type.
func CheckSignatures(files *token.FileSet, file *ast.File, importPath string) []string {
	foreign := foreignNames(file, importPath)
	var broken []string
	look := func(what string, at ast.Node) {
		if at == nil {
			return
		}
		ast.Inspect(at, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				// A field that nobody outside can name. Parameters have names too, but those say nothing.
				return len(n.Names) == 0 || anyExported(n.Names) || !inStruct(at, n)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && foreign[x.Name] {
					broken = append(broken, fmt.Sprintf("%s: exported %s shows %s.%s", files.Position(n.Pos()), what, x.Name, n.Sel.Name))
				}
			}
			return true
		})
	}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				look(d.Name.Name, d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						look(s.Name.Name, s.Type)
					}
				case *ast.ValueSpec:
					if anyExported(s.Names) && s.Type != nil {
						look(s.Names[0].Name, s.Type)
					}
				}
			}
		}
	}
	return broken
}

// foreignNames returns the names under which a file knows the packages below an import path.
func foreignNames(file *ast.File, importPath string) map[string]bool {
	names := make(map[string]bool)
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !matches(importPath, path) {
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = true
	}
	return names
}

// inStruct reports whether a field is one of a struct type in a declaration, not a parameter.
func inStruct(declaration ast.Node, field *ast.Field) bool {
	found := false
	ast.Inspect(declaration, func(n ast.Node) bool {
		if s, ok := n.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				found = found || f == field
			}
		}
		return !found
	})
	return found
}

func anyExported(names []*ast.Ident) bool {
	for _, name := range names {
		if name.IsExported() {
			return true
		}
	}
	return false
}

// receiver returns the name of the type a method is on.
func receiver(method *ast.FuncDecl) string {
	t := method.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
