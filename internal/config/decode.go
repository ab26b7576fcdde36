// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder collects the problems of one file. Its methods turn nodes into values and never stop at a problem: what is
// refused stays absent, and the rest of the file is looked at all the same.
type decoder struct {
	file     string
	lines    []string // without their endings
	sizes    []int    // of the lines, in bytes, with their endings
	problems []*Problem
}

// value is one scalar of the file. The node is nil where the file does not give it; ok says that it is there and well
// formed, and val is the zero value otherwise.
type value[T any] struct {
	val  T
	ok   bool
	node *yaml.Node
	path string
}

// or returns the value, or fallback where the file gives none.
func (v value[T]) or(fallback T) T {
	if v.ok {
		return v.val
	}
	return fallback
}

// into decodes a node that stands at path.
type into func(node *yaml.Node, path string)

func newDecoder(file string, data []byte) *decoder {
	d := &decoder{file: file}
	for line := range strings.Lines(string(data)) {
		d.lines = append(d.lines, strings.TrimRight(line, "\r\n"))
		d.sizes = append(d.sizes, len(line))
	}
	return d
}

// problem notes that something other than expected was found at a node.
func (d *decoder) problem(node *yaml.Node, path, found, expected string) {
	d.problemAt(node.Line, node.Column, path, found, expected)
}

func (d *decoder) problemAt(line, column int, path, found, expected string) {
	problem := &Problem{At: d.at(line, column), Path: path, Found: found, Expected: expected}
	if line >= 1 && line <= len(d.lines) {
		problem.Source = d.lines[line-1]
	}
	d.problems = append(d.problems, problem)
}

func (d *decoder) at(line, column int) Position {
	return Position{File: d.file, Line: line, Column: column}
}

func (d *decoder) position(node *yaml.Node) Position {
	return d.at(node.Line, node.Column)
}

// err joins the problems in the order of the file.
func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	errs := make([]error, len(d.problems))
	for i, problem := range d.problems {
		errs[i] = problem
	}
	return errors.Join(errs...)
}

// yamlError is the form of the yaml package's errors. Its line is that of the block around the place, or missing.
var yamlError = regexp.MustCompile(`^yaml: (?:line \d+: )?`)

// byteReader hands out a file byte by byte. The parser reads no further than it must, so that what it has read when it
// gives up ends at the place of the error or a few characters behind it.
type byteReader struct {
	data []byte
	read int
}

func (r *byteReader) Read(b []byte) (int, error) {
	if r.read == len(r.data) {
		return 0, io.EOF
	}
	n := copy(b[:min(1, len(b))], r.data[r.read:])
	r.read += n
	return n, nil
}

// document returns the root node of the one document in the file, or nil after noting why there is none.
func (d *decoder) document(data []byte) *yaml.Node {
	const oneDocument = "one YAML document with the key instances"
	if len(data) > MaxFileSize {
		d.problemAt(0, 0, "", fmt.Sprintf("more than %d bytes", MaxFileSize), "a configuration file")
		return nil
	}
	source := &byteReader{data: data}
	reader := yaml.NewDecoder(source)
	var document, second yaml.Node
	err := reader.Decode(&document)
	switch {
	case errors.Is(err, io.EOF) || err == nil && isEmpty(&document):
		d.problemAt(1, 1, "", "an empty file", oneDocument)
		return nil
	case err != nil:
		d.syntaxError(err, source.read)
		return nil
	}
	switch err := reader.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntaxError(err, source.read)
	default:
		d.problem(&second, "", "a second document", oneDocument)
	}
	return document.Content[0]
}

func isEmpty(document *yaml.Node) bool {
	return len(document.Content) == 0 || isNull(document.Content[0])
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// syntaxError notes that the file is not YAML. The parser gave up after read bytes.
func (d *decoder) syntaxError(err error, read int) {
	// A tab is a usual reason, and the parser's words for it ("found character that cannot start any token") do not
	// say so.
	line := 0
	for rest := max(read-1, 0); line < len(d.sizes) && rest >= d.sizes[line]; line++ {
		rest -= d.sizes[line]
	}
	line = min(line, len(d.lines)-1)
	source := d.lines[line]
	blank := source[:len(source)-len(strings.TrimLeft(source, " \t"))]
	if tab := strings.IndexByte(blank, '\t'); tab >= 0 {
		d.problemAt(line+1, tab+1, "", "a tab in the indentation", "spaces: YAML allows no tabs there")
		return
	}
	found := fmt.Sprintf("a syntax error here or just before (%s)", yamlError.ReplaceAllString(err.Error(), ""))
	d.problemAt(line+1, len(blank)+1, "", found, "YAML")
}

// plain notes aliases and tags, which this format does not have. It reports whether there is a value to go on with.
func (d *decoder) plain(node *yaml.Node, path, expected string) bool {
	if node.Kind == yaml.AliasNode {
		d.problem(node, path, describe(node), expected+" (aliases are not supported)")
		return false
	}
	if node.Style&yaml.TaggedStyle != 0 {
		d.problem(node, path, "the tag "+shorten(node.Tag), expected+" (tags are not supported)")
	}
	return true
}

// mapping decodes a mapping with the given keys. A key without a value is as good as absent. It reports whether the
// node is a mapping at all.
func (d *decoder) mapping(node *yaml.Node, path, what string, keys map[string]into) bool {
	known := slices.Sorted(maps.Keys(keys))
	expected := what + " with the keys " + orList(known, "and")
	if !d.plain(node, path, expected) {
		return false
	}
	if node.Kind != yaml.MappingNode {
		d.problem(node, path, describe(node), expected)
		return false
	}
	given := make(map[string]bool, len(keys))
	for i := 0; i+1 < len(node.Content); i += 2 {
		given[node.Content[i].Value] = true
	}
	first := make(map[string]*yaml.Node, len(keys))
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, val := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.problem(key, path, describe(key)+" as a key", "one of "+orList(known, "or"))
			continue
		}
		word := key.Value
		if keys[word] == nil {
			d.problem(key, path, "unknown key "+quote(word), "one of "+suggest(word, known))
			// What was most likely meant is looked at too, unless it is there as well.
			if word = nearest(word, known); word == "" || given[word] || first[word] != nil {
				continue
			}
		}
		if first[word] != nil {
			d.problem(key, path, "the key "+word+" again", fmt.Sprintf("it once: it is given in line %d", first[word].Line))
			continue
		}
		first[word] = key
		if !isNull(val) {
			keys[word](val, join(path, word))
		}
	}
	return true
}

// list decodes a list, one entry at a time.
func (d *decoder) list(what string, entry into) into {
	return func(node *yaml.Node, path string) {
		expected := "a list of " + what
		if !d.plain(node, path, expected) {
			return
		}
		if node.Kind != yaml.SequenceNode {
			d.problem(node, path, describe(node), expected)
			return
		}
		for i, n := range node.Content {
			entry(n, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// text decodes a scalar as it is written. The function parse gives its value, or says what is expected in its place.
func text[T any](d *decoder, to *value[T], what string, parse func(string) (T, string)) into {
	return scalar(d, to, what, func(node *yaml.Node) (T, string) { return parse(node.Value) })
}

// number decodes a whole number from least to most.
func number(d *decoder, to *value[int], least, most int) into {
	what := fmt.Sprintf("a whole number from %d to %d", least, most)
	return scalar(d, to, what, func(node *yaml.Node) (int, string) {
		number, err := strconv.Atoi(node.Value)
		if err != nil || number < least || number > most || strconv.Itoa(number) != node.Value {
			return 0, what
		}
		return number, unquoted(node, what)
	})
}

// truth decodes true or false.
func truth(d *decoder, to *value[bool]) into {
	const what = "true or false"
	return scalar(d, to, what, func(node *yaml.Node) (bool, string) {
		if node.Value != "true" && node.Value != "false" {
			return false, what
		}
		return node.Value == "true", unquoted(node, what)
	})
}

// choice decodes one of the words; its value is the index of the word.
func choice[T ~uint8](d *decoder, to *value[T], words []string) into {
	what := orList(words, "or")
	return text(d, to, what, func(word string) (T, string) {
		if i := slices.Index(words, word); i >= 0 {
			return T(i), ""
		}
		return 0, what
	})
}

func scalar[T any](d *decoder, to *value[T], what string, parse func(*yaml.Node) (T, string)) into {
	return func(node *yaml.Node, path string) {
		to.node, to.path = node, path
		if !d.plain(node, path, what) {
			return
		}
		if node.Kind != yaml.ScalarNode || isNull(node) {
			d.problem(node, path, describe(node), what)
			return
		}
		val, expected := parse(node)
		if expected != "" {
			d.problem(node, path, describe(node), expected)
			return
		}
		to.val, to.ok = val, true
	}
}

// required notes that a value is missing from the mapping it belongs to.
func required[T any](d *decoder, mapping *yaml.Node, path, key string, v value[T], expected string) {
	if v.node == nil {
		d.problem(mapping, path, "no "+key, expected)
	}
}

func isQuoted(node *yaml.Node) bool {
	return node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// unquoted refuses a value for its quotes.
func unquoted(node *yaml.Node, what string) string {
	if isQuoted(node) {
		return what + ", without quotes"
	}
	return ""
}

// describe says what a node is, for a problem's Found.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "the alias *" + node.Value
	}
	if isNull(node) {
		return "nothing"
	}
	if !isQuoted(node) {
		switch node.ShortTag() {
		case "!!int", "!!float", "!!bool":
			return shorten(node.Value) // the way it is written tells what it is
		}
	}
	return quote(node.Value)
}

func quote(text string) string { return strconv.Quote(shorten(text)) }

// shorten cuts a text that is too long for a line.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest lists the known words, and the one that was likely meant if there are several.
func suggest(word string, known []string) string {
	list := orList(known, "or")
	if near := nearest(word, known); near != "" && len(known) > 1 {
		list += " (did you mean " + near + "?)"
	}
	return list
}

// orList writes words as "a, b or c", with the given word before the last.
func orList(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}
