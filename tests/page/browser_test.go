package page

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is Chromium with a profile in which scripts are switched off.
type browser struct {
	*testing.T
	profile string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	b := &browser{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(b.profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	const blocked = `{"profile": {"default_content_setting_values": {"javascript": 2}}}`
	if err := os.WriteFile(filepath.Join(b.profile, "Default", "Preferences"), []byte(blocked), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// load loads a page and returns the document as the browser has it.
func (b *browser) load(url string) string {
	b.Helper()
	return b.run("--dump-dom", url)
}

// shoot takes a picture of a page, light or dark.
func (b *browser) shoot(url, path string, height string, more ...string) {
	b.Helper()
	b.run(append([]string{"--window-size=1280," + height, "--screenshot=" + path, url}, more...)...)
}

func (b *browser) run(words ...string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
		"--user-data-dir=" + b.profile, "--no-first-run", "--disable-extensions",
		// It shall talk to nobody else.
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-pings",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
	}, words...)...)
	cmd.Env = append(os.Environ(), "HOME="+b.profile, "XDG_RUNTIME_DIR="+b.profile)
	cmd.WaitDelay = 5 * time.Second
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("chromium %q: %v\n%s", words, err, &complaint)
	}
	return string(out)
}

// document is what is on a page.
type document struct {
	// rows are the cells of every table's rows, with single spaces.
	rows [][]string
	// counts are the numbers of elements, pictures the SVGs that are no decoration, titled how many of them have a title and a
	// description.
	counts           map[string]int
	pictures, titled int
	text             string
}

// parse takes a document apart.
func (b *browser) parse(text string) document {
	b.Helper()
	doc := document{counts: make(map[string]int)}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "link"}, xml.HTMLEntity
	var all, cell strings.Builder
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.Fatalf("the page: %v\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			doc.counts[name]++
			open = append(open, name)
			switch name {
			case "tr":
				doc.rows = append(doc.rows, nil)
			case "th", "td":
				cell.Reset()
			case "svg":
				if slices.ContainsFunc(token.Attr, func(a xml.Attr) bool { return a.Name.Local == "role" && a.Value == "img" }) {
					doc.pictures++
				}
			case "desc":
				doc.titled++
			}
		case xml.CharData:
			all.Write(token)
			if len(open) > 0 && open[len(open)-1] != "title" {
				cell.Write(token)
				cell.WriteByte(' ')
			}
		case xml.EndElement:
			open = open[:len(open)-1]
			if name := token.Name.Local; name == "th" || name == "td" {
				last := len(doc.rows) - 1
				doc.rows[last] = append(doc.rows[last], strings.Join(strings.Fields(strings.ReplaceAll(cell.String(), "\u202f", "")), " "))
			}
		}
	}
	doc.text = strings.ReplaceAll(all.String(), "\u202f", "")
	return doc
}

// row returns the first row that begins with the words.
func (d document) row(begin string) []string {
	for _, r := range d.rows {
		if len(r) > 0 && strings.HasPrefix(r[0]+" ", begin+" ") {
			return r
		}
	}
	return nil
}
