package portmap

import (
	"fmt"
	"strings"
	"testing"
)

const head = "version: 1\nnextHost: 3\nnextBackend: 1\n"

// Every problem is reported with its line, and the file with none of them is accepted.
func TestDecodeRefuses(t *testing.T) {
	const acme = head + "tenants:\n  acme:\n"
	for _, test := range []struct{ text, want string }{
		{"", "lock: version is missing; restore the file"},
		{"version: 1\nnextHost: 1\n", "lock: nextBackend is missing"},
		{"version: 2\n", "lock:1: version 2 is not known"},
		{"version: one\n", `lock:1: version: "one" is not a number`},
		{"version: 01\n", `lock:1: version: "01" is not a number`},
		{"version: 1\nversion: 1\n", "lock:2: version appears twice"},
		{"version: 1\nnextHost: 4294967296\n", `lock:2: nextHost: "4294967296" is not a number from 1 to 4294967295`},
		{head + "nextHosts: 1\n", `lock:4: unknown field "nextHosts"`},
		{head + "hosts: {hv1: 1}\n", `lock:4: hosts: "{hv1: 1}" is out of place`},
		{head + "hosts:\n  hv1: 0\n", `lock:5: hv1: "0" is not a number`},
		{head + "hosts:\n  hv1:\n", `lock:5: hv1: "" is not a number`},
		{head + "hosts:\n  hv1: 1\n  hv1: 2\n", "lock:6: host hv1 appears twice"},
		{head + "hosts:\n hv1: 1\n", "lock:5: \" hv1: 1\" is indented by 1 spaces"},
		{head + "hosts:\n\thv1: 1\n", "does not begin with a name"},
		{head + "hosts:\n  hv1:1\n", "needs one space after the colon"},
		{head + "hosts:\n  hv1: 1 # mine\n", "is not a number"},
		{head + "  hv1: 1\n", "lock:4: \"  hv1: 1\" is indented by 2 spaces, which nothing above it calls for"},
		{head + "<<<<<<< HEAD\n", `lock:4: "<<<<<<< HEAD" is a merge conflict`},
		{acme, "lock:5: tenant acme owns nothing"},
		{acme + "    hosts:\n", "lock:6: tenant acme owns nothing"},
		{acme + "    guests:\n      hv1: [45.86.152.23:1024-2047]\n", `lock:6: tenant acme: unknown field "guests"`},
		{acme + "    hosts:\n      hv1: 45.86.152.23:1024-2047\n", "lock:7: hv1: \"45.86.152.23:1024-2047\" is not a list"},
		{acme + "    hosts:\n      hv1: []\n", "lock:7: hv1: \"[]\" is not a list of blocks"},
		{acme + "    hosts:\n      hv1: [45.86.152.23:1024-2047,45.86.152.23:3072-4095]\n", "lock:7: hv1: block"},
		{acme + "    hosts:\n      hv1: [45.86.152.23:1000-2047]\n", "lock:7: hv1: block \"45.86.152.23:1000-2047\": ports lie in"},
		{acme + "    hosts:\n      \"\": [45.86.152.23:1024-2047]\n", "lock:7: tenant acme: a name in hosts is empty"},
		{acme + "    hosts:\n      hv1: [45.86.152.23:1024-2047]\n      hv1: [45.86.152.23:2048-3071]\n      hv2: [45.86.152.23:3072-4095]\n", "lock:8: tenant acme: host hv1 appears twice"},
		{acme + "    hosts:\n      hv1: [45.86.152.23:1024-2047]\n    hosts:\n", "lock:8: tenant acme: hosts appears twice"},
		{acme + "    backends:\n      web/vm-a: 1\n      web/vm-a: 2\n", "lock:8: tenant acme: backend web/vm-a appears twice"},
		{acme + "    backends:\n      web/vm-a: 1\n  acme:\n", "lock:8: tenant acme appears twice"},
		{acme + "    lastBackend:\n", `lock:6: lastBackend: "" is not a number`},
		{acme + "    lastBackend: 4\n      web/vm-a: 1\n", "lock:7: \"      web/vm-a: 1\" is indented by 6 spaces"},
		{head + "tenants:\n  \"\":\n", "lock:5: a tenant has no name"},
	} {
		_, err := Decode("lock", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestDecodeReportsAll(t *testing.T) {
	_, err := Decode("lock", []byte("version: 2\nnextHost: 0\nnextBackend: x\ncolour: red\n"))
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 4 {
		t.Errorf("%d problems, want 4:\n%v", n, err)
	}
	_, err = Decode("lock", []byte(strings.Repeat("nonsense\n", 1000)))
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != maxProblems {
		t.Errorf("%d problems, want %d", n, maxProblems)
	}
}

// Comments, blank lines, carriage returns and another order of sections do not matter.
func TestDecodeIsLenient(t *testing.T) {
	text := head + `
# a remark
tenants:
  acme:
    # another
    retiredHosts:
      hv2: [45.86.152.23:2048-3071]
    interfaces:
      vm-a: [45.86.152.23:4096-4159]
    hosts:
      hv2: [45.86.152.24:2048-3071]

      hv1: [45.86.152.23:1024-2047]
hosts:
  hv1: 1
`
	for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), strings.TrimSuffix(text, "\n")} {
		lock, err := Decode("lock", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		wantClaims(t, lock, "host hv1: 23:1024-2047\n host hv2: 24:2048-3071 | 23:2048-3071\n interface vm-a: 23:4096-4159")
		if lock.Hosts["hv1"] != 1 || lock.NextHost != 3 {
			t.Errorf("hosts %v, next %d", lock.Hosts, lock.NextHost)
		}
	}
}

// Whatever Decode accepts is written and read again unchanged.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(aLockText))
	f.Add([]byte(head))
	f.Add([]byte(head + "tenants:\n  \"\\u00e9\":\n    backends:\n      \"\": 1\n"))
	f.Add([]byte(head + "hosts:\n  hv1: 1\n  hv2: 1\ntenants:\n  t:\n    hosts:\n      b: [1.2.3.4:1024-1087]\n    retiredHosts:\n      a: [1.2.3.4:1024-1087]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := Decode("lock", data)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "lock:") {
					t.Fatalf("problem without the file's name: %q", line)
				}
			}
			return
		}
		text, err := Encode(lock)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		again, err := Decode("lock", text)
		if err != nil {
			t.Fatalf("decode what was encoded: %v\n%s", err, text)
		}
		if diff := diffOf(lock, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
