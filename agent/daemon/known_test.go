package daemon

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
)

// noted is a keeper that reads a note at its start, with what it logs.
func noted(path string) (*keeper, *bytes.Buffer) {
	o, log := desk("hv1").opts, &bytes.Buffer{}
	o.Known, o.Log = path, slog.New(slog.NewTextHandler(log, nil))
	return newKeeper(o, agent.Open(nil, "", o.Name), nil, newQueue(), newBoard()), log
}

// TestKnown has a keeper leave a note, and the next one believe it only if the same program has written it in the same life of the kernel.
func TestKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known")
	known := map[overlay.Place]nft.Known{
		overlay.HostPlace: {Namespace: 1 << 63, Generation: 7, Wanted: "w", Devices: "d"},
		"culvert-acme":    {Namespace: 2, Generation: 1, Wanted: "x", Devices: "e"},
	}
	first, log := noted(path)
	if len(first.agent.Known()) != 0 || log.Len() != 0 {
		t.Errorf("without a note %v is known; log: %s", first.agent.Known(), log)
	}
	first.agent.(*agent.Agent).Believe(known)
	first.keepKnown()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err, log)
	}
	for name, tt := range map[string]struct {
		note string
		want map[overlay.Place]nft.Known
		log  string
	}{
		"the same":        {string(text), known, ""},
		"another boot":    {strings.Replace(string(text), `"boot":"`, `"boot":"another `, 1), nil, ""},
		"another program": {strings.Replace(string(text), `"program":"`, `"program":"1`, 1), nil, ""},
		"nothing":         {"", nil, "all rules are read"},
		"half":            {string(text[:len(text)/2]), nil, "all rules are read"},
		"of other words":  {"{}", nil, ""},
	} {
		if err := os.WriteFile(path, []byte(tt.note), 0o600); err != nil {
			t.Fatal(err)
		}
		k, log := noted(path)
		if got := k.agent.Known(); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v is known, want %v", name, got, tt.want)
		}
		if got := log.String(); tt.log == "" && got != "" || !strings.Contains(got, tt.log) {
			t.Errorf("%s: the log says %q, want %q", name, got, tt.log)
		}
	}
}

// TestKnownUnwritten has no place for the note: that is told, and harms nothing else.
func TestKnownUnwritten(t *testing.T) {
	k, log := noted(filepath.Join(t.TempDir(), "nowhere", "known"))
	k.keepKnown()
	if !strings.Contains(log.String(), "the next daemon has to read all rules") {
		t.Errorf("the log says %q", log)
	}
}
