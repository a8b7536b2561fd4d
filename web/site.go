package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Options say what a site shows.
type Options struct {
	Status func() daemon.Status
	// Fleet returns what the host must hold and the lock behind it; nil before the first fleet.
	Fleet func() (*topology.Host, *portmap.Lock)
	Meter measure.Reader
	// Metrics answers for /metrics.
	Metrics http.Handler
}

//go:embed pages/*.html
var texts embed.FS

//go:embed pages/style.css
var style []byte

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": ago, "count": count, "percent": percent, "bar": newBar, "join": strings.Join,
}).ParseFS(texts, "pages/*.html"))

// patience is how long a page waits for a reading of the kernel; without one it shows the rest.
const patience = 10 * time.Second

// NewSite answers for /, /tenant/NAME, /healthz and /metrics.
func NewSite(o Options) http.Handler {
	s := &site{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /tenant/{name}", s.tenant)
	mux.HandleFunc("GET "+healthPath, s.healthz)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write(style) // who asked has gone
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return mux
}

type site struct{ Options }

// view is what a page is made of.
type view struct {
	Now     time.Time
	Status  daemon.Status
	Host    *topology.Host // nil before the first fleet
	Lock    *portmap.Lock
	Reading *measure.Reading // nil if there is none
	// Unread is why there is no reading.
	Unread error
}

func (s *site) view(ctx context.Context) view {
	v := view{Now: time.Now(), Status: s.Status()}
	v.Host, v.Lock = s.Fleet()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v.Reading, v.Unread = s.Meter.Read(ctx)
	return v
}

func (s *site) index(w http.ResponseWriter, r *http.Request) {
	show(w, "index.html", newIndex(s.view(r.Context())))
}

func (s *site) tenant(w http.ResponseWriter, r *http.Request) {
	p, ok := newTenant(s.view(r.Context()), r.PathValue("name"))
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		show(w, "missing.html", p)
		return
	}
	show(w, "tenant.html", p)
}

// healthz is 200 if there is nothing to worry about, and 503 with the reasons if there is.
func (s *site) healthz(w http.ResponseWriter, _ *http.Request) {
	status := s.Status()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if status.Healthy() {
		_, _ = fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, p := range problems(status) {
		if !p.Grave {
			break // nor are those after it
		}
		_, _ = fmt.Fprintf(w, "%s: %s\n", p.Object, p.Text)
	}
}

// show renders a page as a whole before the first byte of it is sent.
func show(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // who asked has gone
}

// problem is something that somebody should see to.
type problem struct {
	// Object is the host, the fleet or a tenant; Tenant is its name if it is one.
	Object, Tenant string
	Text           string
	Since          time.Time
	// Grave problems keep the host, or a tenant, from being as the fleet says.
	Grave bool
}

// problems lists all of them, the grave ones first.
func problems(s daemon.Status) []problem {
	var out []problem
	incident := func(object, tenant string, i *daemon.Incident) {
		if i != nil {
			out = append(out, problem{object, tenant, i.Error, i.Since, true})
		}
	}
	incident("fleet", "", s.Refused)
	incident("source of the fleet", "", s.Away)
	incident("cache of the fleet", "", s.Unkept)
	incident("host", "", s.Error)
	if !s.Ready {
		out = append(out, problem{Object: "host", Text: "not everything has been looked at yet", Grave: true})
	}
	for _, t := range s.Tenants {
		incident("tenant "+t.Name, t.Name, t.Error)
		if t.State == daemon.Pending {
			out = append(out, problem{"tenant " + t.Name, t.Name, "not looked at since the fleet changed it", t.Looked, true})
		}
		if len(t.Waiting) > 0 {
			out = append(out, problem{"tenant " + t.Name, t.Name, "waits for " + strings.Join(t.Waiting, ", "), time.Time{}, false})
		}
	}
	for _, b := range s.Sick {
		text := "sick, says " + b.Host + ": " + b.Why
		if !b.Counts {
			text += " (it gets new flows all the same)"
		}
		out = append(out, problem{"backend " + b.Backend.String(), b.Backend.Tenant, text, b.Since, false})
	}
	for _, n := range s.Notes {
		out = append(out, problem{Object: "note", Text: n})
	}
	slices.SortStableFunc(out, func(a, b problem) int {
		switch {
		case a.Grave == b.Grave:
			return 0
		case a.Grave:
			return -1
		default:
			return 1
		}
	})
	return out
}
