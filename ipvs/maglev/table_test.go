package maglev

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// pool returns backends with the weights.
func pool(weights ...int) []Backend {
	var out []Backend
	address := netip.MustParseAddr("100.96.0.1")
	for _, w := range weights {
		out = append(out, Added(address, 443, w))
		address = address.Next()
	}
	return out
}

// drained is the pool after the weights of some were set to 0.
func drained(backends []Backend, indexes ...int) []Backend {
	for _, i := range indexes {
		backends[i] = backends[i].Changed(0)
	}
	return backends
}

// TestGolden keeps tables: whatever changes in one sends flows to other backends. The kernel test of the room ipvs says
// that they are right.
func TestGolden(t *testing.T) {
	six := []Backend{
		Added(netip.MustParseAddr("fd00:c0de::8000:0:0:1"), 53, 1),
		Added(netip.MustParseAddr("fd00:c0de::8000:0:0:2"), 53, 1),
		Added(netip.MustParseAddr("fd00:c0de::8000:0:0:3"), 53, 1),
	}
	for _, tt := range []struct {
		name     string
		size     int
		backends []Backend
	}{
		{"equal", 251, pool(1, 1, 1)},
		{"reordered", 251, []Backend{pool(1, 1, 1)[2], pool(1, 1, 1)[0], pool(1, 1, 1)[1]}},
		{"weighted", 251, pool(100, 300, 200)},
		{"shifted", 251, pool(1, 64, 65535)},
		{"drained", 251, drained(pool(1, 2, 1), 1)},
		{"added at 0", 251, pool(1, 0, 1)},
		{"ipv6", 251, six},
		{"kernel size", KernelSize, pool(1, 1, 1, 2)},
		{"never a weight", 251, pool(0, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			golden(t, strings.ReplaceAll(tt.name, " ", "-")+".txt", describe(tt.backends, New(tt.backends, tt.size)))
		})
	}
}

// describe prints the backends with their shares, and the slots in runs: 2 is a slot of backend 2, 2x3 are three.
func describe(backends []Backend, table *Table) string {
	count := make(map[int]int)
	for _, s := range table.Slots() {
		count[s]++
	}
	var b strings.Builder
	for i, be := range backends {
		fmt.Fprintf(&b, "%d %s weight %d of %d: %d slots\n", i, netip.AddrPortFrom(be.Address, be.Port), be.Weight, be.LastWeight, count[i])
	}
	if count[none] > 0 {
		fmt.Fprintf(&b, "%d slots empty\n", count[none])
	}
	line := ""
	slots := table.Slots()
	for i := 0; i < len(slots); {
		n := 1
		for i+n < len(slots) && slots[i+n] == slots[i] {
			n++
		}
		run := fmt.Sprint(slots[i])
		if n > 1 {
			run = fmt.Sprintf("%dx%d", slots[i], n)
		}
		if len(line)+len(run) > 100 {
			fmt.Fprintln(&b, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+run, " ")
		i += n
	}
	fmt.Fprintln(&b, line)
	return b.String()
}

// TestGoldenPicks keeps choices with every combination of flags; two of five backends drain.
func TestGoldenPicks(t *testing.T) {
	table := New(drained(pool(1, 1, 2, 1, 1), 1, 2), KernelSize)
	var b strings.Builder
	for _, network := range []string{"198.51.100.7", "2001:db8:1:2:3:4:5:6"} {
		client := netip.MustParseAddr(network)
		for _, flags := range []Flags{0, Port, Fallback, Port | Fallback} {
			fmt.Fprintf(&b, "%s flags %#x:", client, uint32(flags))
			for port := range uint16(24) {
				i, ok := table.Pick(client, 40000+port, flags)
				if !ok {
					i = none
				}
				fmt.Fprintf(&b, " %d", i)
			}
			fmt.Fprintln(&b)
		}
	}
	golden(t, "picks.txt", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s differs (-golden +got):\n%s", name, cmp.Diff(string(want), got))
	}
}

func TestTurns(t *testing.T) {
	for _, tt := range []struct {
		size          int
		weights, want []int
	}{
		{KernelSize, []int{1, 1, 1}, []int{1, 1, 1}},
		{KernelSize, []int{7, 7}, []int{1, 1}},
		{KernelSize, []int{100, 300, 200}, []int{1, 3, 2}},
		{KernelSize, []int{0, 0}, []int{0, 0}},
		{KernelSize, []int{0, 6, 4}, []int{0, 3, 2}},
		{KernelSize, []int{63, 1}, []int{63, 1}},          // six bits
		{KernelSize, []int{64, 1}, []int{32, 1}},          // seven: halved, and nobody is left without
		{KernelSize, []int{65535, 2, 1}, []int{63, 1, 1}}, // sixteen
		{251, []int{16, 1}, []int{8, 1}},                  // four bits
		{131071, []int{255, 256}, []int{127, 128}},        // eight bits
	} {
		backends := pool(tt.weights...)
		if got := turns(backends, tt.size); !cmp.Equal(got, tt.want) {
			t.Errorf("weights %v in %d slots: turns %v, want %v", tt.weights, tt.size, got, tt.want)
		}
	}
}

func TestPick(t *testing.T) {
	client := netip.MustParseAddr("198.51.100.7")
	whole := New(pool(1, 1, 1), KernelSize)
	first, ok := whole.Pick(client, 40000, Port)
	if !ok {
		t.Fatal("nobody")
	}
	if other, _ := whole.Pick(client, 40001, 0); other != pickOf(t, whole, client, 40000, 0) {
		t.Error("the port matters without the flag")
	}
	// Address and port are summed.
	if got := pickOf(t, whole, client.Next(), 39999, Port); got != first {
		t.Errorf("a client with the same sum gets %d, want %d", got, first)
	}
	rest := New(drained(pool(1, 1, 1), first), KernelSize)
	if got, ok := rest.Pick(client, 40000, Port); ok {
		t.Errorf("gets %d although its backend drains", got)
	}
	if got := pickOf(t, rest, client, 40000, Port|Fallback); got == first {
		t.Error("falls back to the backend that drains")
	}
	for _, weights := range [][]int{nil, {0}, {0, 0}} {
		if got, ok := New(pool(weights...), KernelSize).Pick(client, 1, Port|Fallback); ok {
			t.Errorf("weights %v: gets %d", weights, got)
		}
	}
	if got, ok := New(drained(pool(1, 1), 0, 1), KernelSize).Pick(client, 1, Port|Fallback); ok {
		t.Errorf("everybody drains and it gets %d", got)
	}
}

func pickOf(t *testing.T, table *Table, client netip.Addr, port uint16, flags Flags) int {
	t.Helper()
	i, ok := table.Pick(client, port, flags)
	if !ok {
		t.Fatalf("%s port %d gets nobody", client, port)
	}
	return i
}

func TestTooManyBackends(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("252 backends in 251 slots are accepted")
		}
	}()
	New(make([]Backend, 252), 251)
}
