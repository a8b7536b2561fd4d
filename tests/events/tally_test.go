package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

var (
	host = Stream{Name: "host"}
	full = Stream{Name: "full", NoSkips: true}
)

// stream encodes events of package p given as "action test output".
func stream(lines ...string) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for _, line := range lines {
		action, rest, _ := strings.Cut(line, " ")
		test, output, _ := strings.Cut(rest, " ")
		e := Event{Action: action, Package: "p", Test: test, Output: output}
		if action == BuildOutput {
			e = Event{Action: action, ImportPath: "p [p.test]", Output: output}
		}
		if action == "build-broken" {
			e = Event{Action: Fail, Package: "p", FailedBuild: "p [p.test]"}
		}
		_ = enc.Encode(e)
	}
	return buf.String()
}

func TestTally(t *testing.T) {
	tests := []struct {
		name   string
		stream Stream
		input  string
		line   string
		ok     bool
		texts  []string // in the report
	}{
		{
			name: "leaves count, parents do not", stream: host, ok: true,
			input: stream("start", "run A", "run A/x", "run A/y", "pass A/x", "pass A/y", "pass A", "run B", "pass B", "pass"),
			line:  "3 passed, 0 failed, 0 skipped",
		},
		{
			name: "a name that begins like another is no subtest", stream: host, ok: true,
			input: stream("run A", "pass A", "run Ab", "pass Ab", "pass"),
			line:  "2 passed, 0 failed, 0 skipped",
		},
		{
			name: "a failing subtest is one failure", stream: host,
			input: stream("run A", "run A/x", "output A/x     a_test.go:3: bad\n", "fail A/x", "fail A", "run B", "pass B", "fail"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p A/x (host", "a_test.go:3: bad"},
		},
		{
			name: "a parent that fails on its own counts", stream: host,
			input: stream("run A", "run A/x", "pass A/x", "fail A", "fail"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p A (host"},
		},
		{
			name: "a package that fails with no test failing counts", stream: host,
			input: stream("run A", "pass A", "output  exit status 3\n", "fail"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p (host", "exit status 3"},
		},
		{
			name: "a package that does not build", stream: host,
			input: stream("build-output x undefined: y\n", "build-broken"),
			line:  "0 passed, 2 failed, 0 skipped",
			texts: []string{"undefined: y", "no test ran"},
		},
		{
			name: "a test that does not end", stream: host,
			input: stream("run A", "pass A", "run B", "output B deep trouble\n", "fail"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p B", "deep trouble", "(did not end)"},
		},
		{
			name: "a package that does not end", stream: host,
			input: stream("run A", "pass A"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p (host", "(did not end)"},
		},
		{
			name: "success does not undo failure", stream: host,
			input: stream("run A", "fail A", "pass A", "fail", "pass"),
			line:  "0 passed, 1 failed, 0 skipped",
		},
		{
			name: "a failure that has much to say", stream: host,
			input: stream("run A") + strings.Repeat(stream("output A early\n"), 100) + stream("output A late trouble\n", "fail A", "fail"),
			line:  "0 passed, 1 failed, 0 skipped",
			texts: []string{"(61 lines before)\n    early\n", "late trouble"},
		},
		{
			name: "skips with their reasons", stream: host, ok: true,
			input: stream("run A", "output A     a_test.go:9: needs IPVS\n", "output A --- SKIP: A\n", "skip A", "run B", "pass B", "pass"),
			line:  "1 passed, 0 failed, 1 skipped",
			texts: []string{"host: needs IPVS\n    p A\n"},
		},
		{
			name: "no skips on the full kernel", stream: full,
			input: stream("run A", "output A     a_test.go:9: needs IPVS\n", "skip A", "run B", "pass B", "pass"),
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"FAIL p A (full", "needs IPVS"},
		},
		{
			name: "a package without tests is nothing", stream: full, ok: true,
			input: stream("run A", "pass A", "pass") + `{"Action":"skip","Package":"q"}` + "\n",
			line:  "1 passed, 0 failed, 0 skipped",
		},
		{
			name: "nothing at all", stream: host, input: "",
			line: "0 passed, 1 failed, 0 skipped", texts: []string{"FAIL host: no test ran"},
		},
		{
			name: "a line that is cut off", stream: host,
			input: stream("run A", "pass A", "pass") + `{"Action":"ru`,
			line:  "1 passed, 1 failed, 0 skipped",
			texts: []string{"no event"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tally := NewTally()
			if err := tally.Read(tt.stream, strings.NewReader(tt.input), nil); err != nil {
				t.Fatal(err)
			}
			if tally.OK() != tt.ok {
				t.Errorf("OK is %v, want %v", tally.OK(), tt.ok)
			}
			var buf strings.Builder
			tally.Report(&buf)
			if !strings.HasSuffix(buf.String(), "\n"+tt.line+"\n") {
				t.Errorf("report does not end with %q:\n%s", tt.line, buf.String())
			}
			for _, text := range tt.texts {
				if !strings.Contains(buf.String(), text) {
					t.Errorf("report lacks %q:\n%s", text, buf.String())
				}
			}
		})
	}
}

func TestTallyAddsStreams(t *testing.T) {
	tally := NewTally()
	input := stream("run A", "pass A", "pass")
	for _, s := range []Stream{host, full} {
		if err := tally.Read(s, strings.NewReader(input), nil); err != nil {
			t.Fatal(err)
		}
	}
	tally.Break(full, "exit status 7")
	if got, want := tally.Results().Line(), "2 passed, 1 failed, 0 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
