package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPartRoundTrip takes any valid fleet apart and gets each object back.
func TestPartRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fleet := drawFleet(t)
		check := func(want Part) {
			data, err := want.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParsePart("part", data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if diff := cmp.Diff(&want, got, sameFleet); diff != "" {
				t.Fatalf("%s\n%s", diff, data)
			}
		}
		check(Part{Overlay: &fleet.Overlay})
		for i := range fleet.Hosts {
			check(Part{Hosts: fleet.Hosts[i : i+1]})
		}
		for i := range fleet.Tenants {
			check(Part{Tenants: fleet.Tenants[i : i+1]})
		}
	})
}

func TestParsePart(t *testing.T) {
	p, err := ParsePart("part", []byte("hosts:\n  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}\n"))
	if err != nil || p.Overlay != nil || len(p.Hosts) != 1 || p.Hosts[0].State != Up {
		t.Errorf("part %+v, %v", p, err)
	}
	for _, text := range []string{"", "hosts: 7", "king: {}", "tenants: [{name: x, vni: 0}]"} {
		var problems Problems
		if _, err := ParsePart("part", []byte(text)); !errors.As(err, &problems) || !strings.HasPrefix(problems[0].Error(), "part:1:") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
