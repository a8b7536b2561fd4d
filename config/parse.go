package config

import (
	"fmt"
	"os"
	"reflect"
	"time"
)

// Load reads the fleet in a file. It returns [Problems] if the document is wrong, or the operating system's error if
// the file cannot be read.
func Load(path string) (*Fleet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load fleet: %w", err)
	}
	return Parse(path, data)
}

// Parse reads and validates a fleet document and fills in the defaults. The name stands for the document in messages.
// The error is nil or [Problems]: all there are, not the first one.
func Parse(name string, data []byte) (*Fleet, error) {
	d := &document{name: name, data: data}
	fleet := &Fleet{}
	if d.read() {
		d.decode(d.root, reflect.ValueOf(fleet).Elem(), nil)
		fleet.setDefaults()
		(&checker{document: d, fleet: fleet}).check()
	}
	if len(d.problems) > 0 {
		return nil, d.problems.sort()
	}
	return fleet, nil
}

// setDefaults fills in what the operator left out.
func (f *Fleet) setDefaults() {
	overlay := DefaultOverlay()
	setDefault(&f.Overlay.IPv4, overlay.IPv4)
	setDefault(&f.Overlay.IPv6, overlay.IPv6)
	setDefault(&f.Overlay.Port, overlay.Port)
	for i := range f.Hosts {
		setDefault(&f.Hosts[i].State, Up)
	}
	for i := range f.Tenants {
		for j := range f.Tenants[i].LoadBalancers {
			balancer := &f.Tenants[i].LoadBalancers[j]
			for k := range balancer.Backends {
				setDefault(&balancer.Backends[k].Weight, 1)
			}
			if balancer.HealthCheck != nil {
				balancer.HealthCheck.setDefaults()
			}
		}
	}
}

// setDefaults fills in what the operator left out.
func (h *HealthCheck) setDefaults() {
	setDefault(&h.Interval, 5*time.Second)
	setDefault(&h.Timeout, min(2*time.Second, h.Interval))
	setDefault(&h.Rise, 2)
	setDefault(&h.Fall, 3)
	if h.Protocol.hasPath() {
		setDefault(&h.Path, "/")
		if h.Statuses == nil {
			h.Statuses = []int{200}
		}
	}
}

// setDefault sets a zero value to the default.
func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
