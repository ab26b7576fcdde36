// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"
)

// Position is a place in a file.
type Position struct {
	File   string
	Line   int // from 1; 0: the file as a whole
	Column int // from 1, in characters
}

// String returns "file:line:column", the form editors and terminals know, or the file alone.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	At       Position
	Path     string // of the value, as "instances[0].interfaces[1].mtu"; empty: the file itself
	Found    string // what stands there, as `67` or `unknown key "adresses"`
	Expected string // what should stand there, as "a whole number from 68 to 65535"
	Source   string // the line of the file, without its line ending
}

// Error returns the problem in one line: where, what was found, what was expected.
func (p *Problem) Error() string {
	where := p.At.String()
	if p.Path != "" {
		where += ": " + p.Path
	}
	return fmt.Sprintf("%s: found %s, expected %s", where, p.Found, p.Expected)
}

// Excerpt returns the line of the file and a caret below the place, for a person to look at, or "" where the problem
// has no line.
func (p *Problem) Excerpt() string {
	if strings.TrimSpace(p.Source) == "" {
		return ""
	}
	// Tabs are kept, so that the caret stands below its character however wide the reader's tabs are.
	var indent strings.Builder
	for i, r := range []rune(p.Source) {
		if i >= p.At.Column-1 {
			break
		}
		if r == '\t' {
			indent.WriteByte('\t')
		} else {
			indent.WriteByte(' ')
		}
	}
	return "    " + p.Source + "\n    " + indent.String() + "^"
}

// Problems returns the problems that [Parse] or [Load] joined into err, in the order of the file. It is nil where err
// is something else.
func Problems(err error) []*Problem {
	var problems []*Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			problems = append(problems, Problems(e)...)
		}
		return problems
	}
	var problem *Problem
	if errors.As(err, &problem) {
		problems = append(problems, problem)
	}
	return problems
}

// Explain returns err for a person: each problem of a file with the line it stands in, other errors as they are.
func Explain(err error) string {
	problems := Problems(err)
	if len(problems) == 0 {
		return err.Error()
	}
	var text strings.Builder
	for i, problem := range problems {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(problem.Error())
		if excerpt := problem.Excerpt(); excerpt != "" {
			text.WriteString("\n" + excerpt)
		}
	}
	return text.String()
}

// nearest returns the one of known that word was most likely meant to be, or "" if none is near. Near is: a third of
// the letters typed wrong, left out, added, or swapped with their neighbour.
func nearest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, candidate := range known {
		if distance := editDistance(word, candidate); distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance counts the edits between two words: replace, insert, delete, swap neighbours (the optimal string
// alignment form of the Damerau-Levenshtein distance).
func editDistance(a, b string) int {
	// before, above and row are three neighbouring rows of the usual matrix.
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
