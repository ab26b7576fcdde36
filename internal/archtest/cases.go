// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// LastCase is the number of the last conformance case. Those from 1 on say what the originals do in one situation each; each
// has a test of its own at least, called TestCase with three digits, an underscore, and words.
const LastCase = 120

var caseName = regexp.MustCompile(`^TestCase(\d{3})_[A-Z]`)

// CheckCases returns the numbers of 1 to last that have no test below root, a line each, and the tests that look like one
// and are not called as one.
func CheckCases(root string, last int) ([]string, error) {
	var broken []string
	tested := map[int]bool{}
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "TestCase") {
				continue
			}
			match := caseName.FindStringSubmatch(f.Name.Name)
			number := 0
			if match != nil {
				number, _ = strconv.Atoi(match[1]) // three digits
			}
			if number < 1 || number > last {
				broken = append(broken, fmt.Sprintf("%v: %s: expected TestCase001_Words to TestCase%03d_Words", files.Position(f.Pos()), f.Name.Name, last))
				continue
			}
			tested[number] = true
		}
		return nil
	})
	for number := 1; number <= last; number++ {
		if !tested[number] {
			broken = append(broken, fmt.Sprintf("case %d has no test: expected a function TestCase%03d_Words", number, number))
		}
	}
	return broken, err
}
