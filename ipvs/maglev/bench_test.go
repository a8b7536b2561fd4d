package maglev

import (
	"fmt"
	"net/netip"
	"testing"
)

func BenchmarkNew(b *testing.B) {
	for _, c := range []struct{ backends, size int }{{4, KernelSize}, {40, KernelSize}, {1000, 65537}} {
		weights := make([]int, c.backends)
		for i := range weights {
			weights[i] = 1
		}
		backends := pool(weights...)
		b.Run(fmt.Sprintf("%d in %d", c.backends, c.size), func(b *testing.B) {
			for b.Loop() {
				New(backends, c.size)
			}
		})
	}
}

func BenchmarkPick(b *testing.B) {
	table, client := New(pool(1, 1, 1, 1), KernelSize), netip.MustParseAddr("198.51.100.7")
	for b.Loop() {
		table.Pick(client, 40000, Port|Fallback)
	}
}
