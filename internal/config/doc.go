// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads the YAML file that "hooknet run -c FILE" is given.
//
// The way of a file through the package:
//
//	bytes -> yaml.Node (shape, positions)      go.yaml.in/yaml/v3
//	      -> raw* structs (words, one by one)  decode.go, schema.go
//	      -> Config (meaning, cross checks)    check.go
//
// Decoding is strict. What is not known, not well formed or cannot work together is a [Problem] with the place in the
// file, what was found there and what was expected; all problems of a file are reported together, in the order of the
// file. A [Config] that was returned without an error is complete: defaults are filled in, names resolved, prefixes
// masked, "default" spelled out per family. What is left to go wrong is the machine's business: a namespace that is not
// there, a device that is taken.
//
// Nothing here looks at the machine, opens anything but the file, starts goroutines or keeps state. Every function may
// be called concurrently; a Config belongs to the caller.
//
// Scalars are taken as written: an unquoted 010 where a name stands is the name "010", not the number 8. Whole numbers
// and true/false stand without quotes. YAML anchors, aliases, merge keys, tags and several documents in one file are
// refused, as in netplan: every value is to be read where it applies.
package config
