// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Width is that of the terminals that text is made for, in columns.
const Width = 80

// What Paint knows: Select Graphic Rendition, ECMA-48 section 8.3.117. Several are joined by semicolons.
const (
	Bold  = "1"
	Dim   = "2"
	Red   = "31"
	Green = "32"
	Blue  = "34"
	Cyan  = "36"
)

// A Text is being written. The zero value is empty, and has no colours.
type Text struct {
	strings.Builder
	Colour bool
}

// Paint returns s in a colour, if there are colours.
func (t *Text) Paint(sgr, s string) string {
	if !t.Colour || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// Line writes a line, without the spaces at its end.
func (t *Text) Line(format string, args ...any) {
	t.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

// Left pads s on the right to a number of columns.
func Left(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(s)))
}

// Right pads s on the left.
func Right(s string, columns int) string {
	return strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(s))) + s
}

// Wrap breaks s into lines, between words if it can. There is one line at least.
func Wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for utf8.RuneCountInString(word) > columns {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:columns])), string(runes[columns:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= columns:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// Bar draws a part of a whole with a resolution of an eighth of a column. There is no bar of nothing.
func Bar(part, whole float64, columns int) string {
	if whole <= 0 {
		return ""
	}
	eighths := int(part/whole*float64(columns*8) + 0.5)
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return bar
}

// Count returns "1 thing", or "2 things".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Roughly says how long something will take.
func Roughly(d time.Duration) string {
	if d < 90*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
