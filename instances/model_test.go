// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
)

// A model is the obvious manager: lists, and what each operation must call, in order.
type model struct {
	instances   []string // living, oldest first
	descriptors []string // registered, oldest first; callbacks fail on instances with the same last letter
	active      map[string]bool
}

// refuses says on which instances a descriptor's Create fails.
func refuses(descriptor, instance string) bool {
	return descriptor[len(descriptor)-1] == instance[len(instance)-1]
}

func (m *model) create(descriptor, instance string) (calls []string) {
	m.active[descriptor+" "+instance] = !refuses(descriptor, instance)
	return []string{"create " + descriptor + " " + instance}
}

// end returns the calls of one kind for those pairs that have a part in each other.
func (m *model) end(kind string, descriptors, instances []string) (calls []string) {
	for _, d := range descriptors {
		for _, i := range instances {
			if m.active[d+" "+i] {
				calls = append(calls, kind+" "+d+" "+i)
			}
		}
	}
	return calls
}

func (m *model) forget(descriptors, instances []string) {
	for _, d := range descriptors {
		for _, i := range instances {
			delete(m.active, d+" "+i)
		}
	}
}

// Any sequence of operations calls exactly what the model says, in its order.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j journal
		var calls []string // what the model expects of this operation
		manager := instances.New(instances.Config{})
		defer manager.Close()
		living := map[string]hooks.InstanceID{}
		registered := map[string]*instances.Registration{}
		want := &model{active: map[string]bool{}}
		name := func(names []string) string { return rapid.SampledFrom(names).Draw(t, "name") }
		instanceName := rapid.SampledFrom([]string{"ia", "ib", "ic", "id"})
		descriptorName := rapid.SampledFrom([]string{"da", "db", "dx", "dy"})
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				name := instanceName.Draw(t, "instance")
				i, err := manager.Create(netstack.Config{Name: name})
				if slices.Contains(want.instances, name) {
					if !errors.Is(err, netstack.ErrExists) {
						t.Fatal(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				living[name] = i.ID()
				want.instances = append(want.instances, name)
				for _, d := range want.descriptors {
					calls = append(calls, want.create(d, name)...)
				}
			},
			"destroy": func(t *rapid.T) {
				if len(want.instances) == 0 {
					t.Skip("no instances")
				}
				name := name(want.instances)
				if err := manager.Destroy(living[name]); err != nil {
					t.Fatal(err)
				}
				delete(living, name)
				calls = append(calls, want.end("shutdown", want.descriptors, []string{name})...)
				calls = append(calls, want.end("destroy", want.descriptors, []string{name})...)
				want.forget(want.descriptors, []string{name})
				want.instances = slices.DeleteFunc(want.instances, func(o string) bool { return o == name })
			},
			"register": func(t *rapid.T) {
				name := descriptorName.Draw(t, "descriptor")
				d := j.descriptor(name)
				note := d.Create
				d.Create = func(i *netstack.Instance) (any, error) {
					note(i)
					if refuses(name, i.Name()) {
						return nil, errors.New("refused")
					}
					return name, nil
				}
				r, err := manager.Register(d)
				if slices.Contains(want.descriptors, name) {
					if !errors.Is(err, netstack.ErrExists) {
						t.Fatal(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				registered[name] = r
				want.descriptors = append(want.descriptors, name)
				for _, i := range want.instances {
					calls = append(calls, want.create(name, i)...)
				}
			},
			"unregister": func(t *rapid.T) {
				if len(want.descriptors) == 0 {
					t.Skip("no descriptors")
				}
				name := name(want.descriptors)
				if err := registered[name].Unregister(); err != nil {
					t.Fatal(err)
				}
				delete(registered, name)
				calls = append(calls, want.end("shutdown", []string{name}, want.instances)...)
				calls = append(calls, want.end("destroy", []string{name}, want.instances)...)
				want.forget([]string{name}, want.instances)
				want.descriptors = slices.DeleteFunc(want.descriptors, func(o string) bool { return o == name })
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(calls, j.take(), cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
				calls = nil
				var found []string
				for i := range manager.All() {
					found = append(found, i.Name())
				}
				if diff := cmp.Diff(want.instances, found, cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
				for name, r := range registered {
					var failed []hooks.InstanceID
					for _, i := range want.instances {
						if refuses(name, i) {
							failed = append(failed, living[i])
						}
					}
					if diff := cmp.Diff(failed, slices.Sorted(maps.Keys(r.Failed())), cmpopts.EquateEmpty()); diff != "" {
						t.Fatal(diff)
					}
				}
			},
		})
	})
}
