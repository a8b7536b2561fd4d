package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Service tells the service manager how the daemon is (sd_notify(3)). All methods of a nil Service do nothing.
type Service struct {
	conn *net.UnixConn
	// watchdog is within what time the manager wants to hear something; 0 if it does not.
	watchdog time.Duration

	mu   sync.Mutex
	last string // the last status
}

// OpenService finds the service manager that the environment names; nil if there is none.
func OpenService() (*Service, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	s := &Service{conn: conn}
	// The variables are for one process (sd_watchdog_enabled(3)).
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
			s.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return s, nil
}

func (s *Service) send(lines ...string) {
	if s == nil {
		return
	}
	if _, err := s.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		slog.Warn("tell the service manager", "err", err)
	}
}

func (s *Service) ready() { s.send("READY=1") }

func (s *Service) stopping() { s.send("STOPPING=1") }

// reloading says that a reload begins; ready ends it. The time tells it from the answer to an older one.
func (s *Service) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail
	s.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// status is shown by `systemctl status`. What was said last is not repeated.
func (s *Service) status(text string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text = strings.ReplaceAll(text, "\n", "; "); text != s.last {
		s.last = text
		s.send("STATUS=" + text)
	}
}

// watchdogTask tells the service manager that the keeper is alive: idle, or at work and further than it was the time before that
// the manager allows.
type watchdogTask struct {
	service *Service
	busy    *atomic.Int64
}

func (t watchdogTask) String() string { return "watchdog" }

func (t watchdogTask) Run(ctx context.Context) error {
	if t.service.watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(t.service.watchdog / 3)
	defer tick.Stop()
	for {
		if began := t.busy.Load(); began == 0 || time.Since(time.Unix(0, began)) < t.service.watchdog {
			t.service.send("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
