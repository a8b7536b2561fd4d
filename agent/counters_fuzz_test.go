package agent

import (
	"strings"
	"testing"
)

// FuzzParseConntrack reads anything as the kernel's statistics: twice the CPUs have twice the numbers.
func FuzzParseConntrack(f *testing.F) {
	for _, s := range []string{
		"entries  searched found\n0000000a  00000000 00000001\n0000000a  00000000 00000002\n",
		"drop\nffffffffffffffff\n", "drop\n1 2\n", "drop\n-1\n", "\n1\n", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseConntrack(text)
		if err != nil {
			return
		}
		text = strings.TrimSpace(text)
		_, processors, _ := strings.Cut(text, "\n")
		twice, err := ParseConntrack(text + "\n" + processors)
		if err != nil || len(twice) != len(got) {
			t.Fatalf("%q has %v, with twice the CPUs %v, %v", text, got, twice, err)
		}
		for name, n := range got {
			if twice[name] != 2*n {
				t.Errorf("%q has %d of %s, with twice the CPUs %d", text, n, name, twice[name])
			}
		}
	})
}
