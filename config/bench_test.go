package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"go.yaml.in/yaml/v4"
)

// bigFleet writes a fleet of hosts with 100 interfaces each; 100 interfaces make a tenant, over 100 hosts.
func bigFleet(interfaces int) []byte {
	var b bytes.Buffer
	hosts := max(interfaces/100, 1)
	b.WriteString("hosts:\n")
	for i := range hosts {
		fmt.Fprintf(&b, "  - {name: hv%d, underlay: 192.%d.%d.%d, roles: [hypervisor]}\n", i, 128+i>>16, i>>8&255, i&255)
	}
	b.WriteString("tenants:\n")
	for i := range interfaces {
		tenant, n := i/100, i%100
		if n == 0 {
			fmt.Fprintf(&b, "  - name: tenant-%d\n    vni: %d\n", tenant, tenant+1)
			fmt.Fprintf(&b, "    natGateway: {addresses: [45.%d.%d.%d], portsPerHost: 512}\n", tenant>>16, tenant>>8&255, tenant&255)
			b.WriteString("    interfaces:\n")
		}
		fmt.Fprintf(&b, "      - {name: vm-%d, host: hv%d, device: tap%d, mac: \"52:54:00:00:00:%02x\", addresses: [10.0.0.%d]}\n",
			n, (tenant+n)%hosts, i, n, n)
	}
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	for _, interfaces := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(interfaces), func(b *testing.B) {
			data := bigFleet(interfaces)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("fleet.yaml", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkProblems has a problem with every interface, in a document of many lines and in one of a single line.
func BenchmarkProblems(b *testing.B) {
	data := bytes.ReplaceAll(bigFleet(100_000), []byte("mac: \"52"), []byte("mac: \"53"))
	flat := oneLine(b, data)
	for name, data := range map[string][]byte{"lines": data, "one line": flat} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var problems Problems
				if _, err := Parse("fleet.yaml", data); !errors.As(err, &problems) || len(problems) != 100_000 {
					b.Fatalf("%d problems", len(problems))
				}
			}
		})
	}
}

// oneLine writes a document as JSON, which is YAML, too.
func oneLine(b *testing.B, data []byte) []byte {
	b.Helper()
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		b.Fatal(err)
	}
	flat, err := json.Marshal(tree)
	if err != nil {
		b.Fatal(err)
	}
	return flat
}
