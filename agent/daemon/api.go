package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// DefaultSocket is where `culvert status` looks for the daemon.
const DefaultSocket = "/run/culvert/culvert.sock"

// apiTask answers on a unix socket, in HTTP: GET /status is [Status] in JSON.
type apiTask struct {
	listener *heldListener
	daemon   *Daemon
}

// newAPITask takes the socket. It answers once the task runs.
func newAPITask(path string, d *Daemon) (*apiTask, error) {
	listener, err := hold(path)
	if err != nil {
		return nil, fmt.Errorf("API on %s: %w", path, err)
	}
	return &apiTask{listener, d}, nil
}

func (t *apiTask) String() string { return "API on " + t.listener.Addr().String() }

// Run gives up the socket when the context ends, and not yet the file beside it: other parts of the daemon may still change the host.
func (t *apiTask) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", t.status)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(t.listener.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close gives the socket up, if the task has not, and lets another daemon have it.
func (t *apiTask) close() { _ = t.listener.Close() }

func (t *apiTask) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(t.daemon.Status()) // whoever asked has gone
}

// Ask asks the daemon behind a socket for its status.
func Ask(ctx context.Context, socket string) (Status, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://culvert/status", nil)
	if err != nil {
		return Status{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Status{}, fmt.Errorf("ask the daemon: %w; is it running? see `systemctl status culvert`", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Status{}, fmt.Errorf("ask the daemon: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("ask the daemon: it says %s: %s", response.Status, body)
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fmt.Errorf("ask the daemon: %w", err)
	}
	return s, nil
}
