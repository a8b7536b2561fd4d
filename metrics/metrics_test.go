package metrics

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

var update = flag.Bool("update", false, "rewrite testdata and docs/metrics.md")

// golden compares with a file, or rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale; run `go test ./metrics -update` and look at the difference. It should be:\n%s", path, got)
	}
}

// TestLint holds the metrics to Prometheus's rules of names.
func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(Registry(options(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestScrape compares a scrape of a host on which everything has a value with the golden one, which then has every family.
func TestScrape(t *testing.T) {
	text := "\n" + scrapeOf(t, promhttp.HandlerFor(Registry(options(t)), promhttp.HandlerOpts{}))
	golden(t, "testdata/scrape.txt", text[1:])
	for _, f := range Families() {
		if !strings.Contains(text, "\n"+f.Name+"{") && !strings.Contains(text, "\n"+f.Name+" ") {
			t.Errorf("nothing tells %s", f.Name)
		}
		if strings.HasSuffix(f.Name, "_total") != (f.Kind == Counter) {
			t.Errorf("%s is a %s", f.Name, f.Kind)
		}
		if f.Series == "" {
			t.Errorf("%s: nothing says how many series there are", f.Name)
		}
	}
}

func scrapeOf(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d, %v: %s", w.Code, err, body)
	}
	return string(bytes.TrimSpace(body)) + "\n"
}

// TestHandler adds what the process is, and answers in the text format.
func TestHandler(t *testing.T) {
	text := scrapeOf(t, Handler(options(t)))
	for _, want := range []string{"process_cpu_seconds_total ", "go_goroutines ", "culvert_ready 1\n"} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestWithoutFleet tells what the daemon says, also when there is nothing else.
func TestWithoutFleet(t *testing.T) {
	text := scrapeOf(t, Handler(Options{
		Status: func() daemon.Status {
			return daemon.Status{Refused: &daemon.Incident{}, Unkept: &daemon.Incident{}, Lacking: 2}
		},
		Fleet: func() (*topology.Host, *portmap.Lock) { return nil, nil },
		Meter: readings{err: measure.ErrNoFleet},
	}))
	for want, there := range map[string]bool{
		"culvert_fleet_refused 1\n": true, "culvert_fleet_unkept 1\n": true, "culvert_not_carried_out 2\n": true, "culvert_converged 0\n": true, "culvert_ready 0\n": true,
		"culvert_measure_seconds": false, "culvert_source_connected": false, "culvert_convergence_seconds": false,
	} {
		if strings.Contains(text, "\n"+want) != there {
			t.Errorf("%q there: %v, want %v", want, !there, there)
		}
	}
}

// TestImpatient is a reading that does not come: what the daemon says is told all the same.
func TestImpatient(t *testing.T) {
	o := options(t)
	o.Meter = readings{err: errors.New("too late")}
	if text := scrapeOf(t, Handler(o)); !strings.Contains(text, "\nculvert_changes_total 17\n") || strings.Contains(text, "culvert_nat_ports") {
		t.Error(text)
	}
}
