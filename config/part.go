package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Part is some of a fleet's objects, in the notation of the fleet document.
type Part struct {
	Overlay *Overlay `yaml:"overlay,omitempty"`
	Hosts   []Host   `yaml:"hosts,omitempty"`
	Tenants []Tenant `yaml:"tenants,omitempty"`
}

// Encode writes the part as [ParsePart] reads it back.
func (p Part) Encode() ([]byte, error) {
	data, err := yaml.Dump(p)
	if err != nil {
		return nil, fmt.Errorf("encode part of a fleet: %w", err)
	}
	return data, nil
}

// ParsePart reads a part and fills in the defaults. Every field is checked as [Parse] does it; what takes other objects to
// tell, such as whether an interface's host exists, is not. The error is nil or [Problems].
func ParsePart(name string, data []byte) (*Part, error) {
	d := &document{name: name, data: data}
	p := &Part{}
	if d.read() {
		d.decode(d.root, reflect.ValueOf(p).Elem(), nil)
	}
	if len(d.problems) > 0 {
		return nil, d.problems.sort()
	}
	fleet := Fleet{Hosts: p.Hosts, Tenants: p.Tenants}
	if p.Overlay != nil {
		fleet.Overlay = *p.Overlay
	}
	fleet.setDefaults()
	if p.Overlay != nil {
		*p.Overlay = fleet.Overlay
	}
	return p, nil
}
