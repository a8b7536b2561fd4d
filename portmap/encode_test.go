package portmap

import (
	"bytes"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// aLock has something of everything.
func aLock() *Lock {
	return &Lock{
		NextHost:    12,
		NextBackend: 4,
		Hosts:       map[string]HostID{"hv10": 1, "hv2": 2, "edge1": 11, "10": 7},
		Tenants: map[string]*Tenant{
			"acme": {
				Claims: []Claim{
					{Claimant: Claimant{Host: "hv10"}, Blocks: someBlocks("23:1024-2047 23:8192-8255 23:5120-6143")},
					{Claimant: Claimant{Host: "hv2"}, Blocks: someBlocks("24:1024-2047"), Retired: someBlocks("23:2048-2111 24:2048-2111")},
					{Claimant: Claimant{Interface: "vm-a"}, Retired: someBlocks("23:3072-3135")},
				},
				Backends: map[string]uint32{"web/vm-b": 1, "web/vm-a": 3},
			},
			"former-backends": {LastBackend: 3},
			"only-backends":   {Backends: map[string]uint32{"web/vm-a": 2}},
			"per-interface":   {Claims: []Claim{{Claimant: Claimant{Interface: "vm-a"}, Blocks: someBlocks("30:1024-1087")}}},
			"yes":             {Claims: []Claim{{Claimant: Claimant{Interface: "vm a"}, Blocks: someBlocks("31:1024-1087")}}},
		},
	}
}

const aLockText = header + `version: 1
nextHost: 12
nextBackend: 4
hosts:
  hv10: 1
  hv2: 2
  "10": 7
  edge1: 11
tenants:
  acme:
    hosts:
      hv10: [45.86.152.23:1024-2047, 45.86.152.23:8192-8255, 45.86.152.23:5120-6143]
      hv2: [45.86.152.24:1024-2047]
    retiredHosts:
      hv2: [45.86.152.23:2048-2111, 45.86.152.24:2048-2111]
    retiredInterfaces:
      vm-a: [45.86.152.23:3072-3135]
    backends:
      web/vm-b: 1
      web/vm-a: 3
  former-backends:
    lastBackend: 3
  only-backends:
    backends:
      web/vm-a: 2
  per-interface:
    interfaces:
      vm-a: [45.86.152.30:1024-1087]
  "yes":
    interfaces:
      "vm a": [45.86.152.31:1024-1087]
`

func TestEncode(t *testing.T) {
	data, err := Encode(aLock())
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffOf(aLockText, string(data)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	lock, err := Decode("lock", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffOf(aLock(), lock); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

// Any YAML parser reads the file, not only ours.
func TestLockFileIsYAML(t *testing.T) {
	var doc struct {
		Version     int               `yaml:"version"`
		NextHost    int               `yaml:"nextHost"`
		NextBackend int               `yaml:"nextBackend"`
		Hosts       map[string]HostID `yaml:"hosts"`
		Tenants     map[string]struct {
			Hosts             map[string][]string `yaml:"hosts"`
			Interfaces        map[string][]string `yaml:"interfaces"`
			RetiredHosts      map[string][]string `yaml:"retiredHosts"`
			RetiredInterfaces map[string][]string `yaml:"retiredInterfaces"`
			Backends          map[string]uint32   `yaml:"backends"`
			LastBackend       uint32              `yaml:"lastBackend"`
		} `yaml:"tenants"`
	}
	if err := yaml.Unmarshal([]byte(aLockText), &doc); err != nil {
		t.Fatal(err)
	}
	want := aLock()
	if diff := diffOf(want.Hosts, doc.Hosts); diff != "" || len(doc.Tenants) != len(want.Tenants) {
		t.Errorf("hosts:\n%s", diff)
	}
	acme := doc.Tenants["acme"]
	if got := acme.Hosts["hv10"]; len(got) != 3 || got[1] != "45.86.152.23:8192-8255" {
		t.Errorf("blocks of hv10: %q", got)
	}
	if got := doc.Tenants["yes"].Interfaces["vm a"]; len(got) != 1 {
		t.Errorf("quoted names: %v", doc.Tenants)
	}
	if diff := diffOf(want.Tenants["acme"].Backends, acme.Backends); diff != "" {
		t.Errorf("backends:\n%s", diff)
	}
}

func TestEncodeEmpty(t *testing.T) {
	data, err := Encode(&Lock{Tenants: map[string]*Tenant{"acme": {}}})
	if err != nil || string(data) != header+"version: 1\nnextHost: 1\nnextBackend: 1\n" {
		t.Fatalf("%s, %v", data, err)
	}
	if diff := diffOf(NewLock(), clone(t, NewLock())); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeRefuses(t *testing.T) {
	bad := func(b Block) *Lock {
		return &Lock{Tenants: map[string]*Tenant{"acme": {Claims: []Claim{{Claimant: Claimant{Host: "hv1"}, Blocks: []Block{b}}}}}}
	}
	for want, lock := range map[string]*Lock{
		"begin at a multiple":    bad(Block{addrA, 1025, 2048}),
		"is not an IPv4 address": bad(Block{defaultOverlay.IPv6.Addr(), 1024, 2047}),
		"is not UTF-8":           {Hosts: map[string]HostID{"\xff": 1}},
		"numbers begin at 1":     {Hosts: map[string]HostID{"hv1": 0}},
	} {
		if _, err := Encode(lock); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lock := drawLock(t)
		data, err := Encode(lock)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode("lock", data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := diffOf(lock, back); diff != "" {
			t.Fatalf("round trip (-want +got):\n%s", diff)
		}
		again, err := Encode(back)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("encoding twice differs: %v\n%s\n%s", err, data, again)
		}
	})
}

// drawLock returns a lock that can be written; it need not be right.
func drawLock(t *rapid.T) *Lock {
	lock := NewLock()
	name := drawName().Filter(func(s string) bool { return s != "" })
	number := rapid.Uint32Range(1, 1<<32-1)
	lock.NextHost, lock.NextBackend = HostID(number.Draw(t, "host")), number.Draw(t, "backend")
	for _, n := range rapid.SliceOfN(name, 0, 4).Draw(t, "hosts") {
		lock.Hosts[n] = HostID(number.Draw(t, "id"))
	}
	for _, n := range rapid.SliceOfN(name, 0, 3).Draw(t, "tenants") {
		tenant := &Tenant{}
		for _, who := range rapid.SliceOfNDistinct(name, 1, 4, rapid.ID).Draw(t, "claimants") {
			c := Claim{Claimant: Claimant{Host: who}}
			if rapid.Bool().Draw(t, "interface") {
				c.Claimant = Claimant{Interface: who}
			}
			c.Blocks = drawBlocks(t, 3)
			if rapid.Bool().Draw(t, "retired") || len(c.Blocks) == 0 {
				c.Blocks, c.Retired = nil, someBlocks("23:1024-1087 24:2048-2111")
			}
			at, _ := findClaim(tenant.Claims, c.Claimant)
			tenant.Claims = append(tenant.Claims[:at:at], append([]Claim{c}, tenant.Claims[at:]...)...)
		}
		lock.Tenants[n] = tenant
	}
	return lock
}
