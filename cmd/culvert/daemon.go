package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/confine"
	"github.com/culvertnet/culvert/web"
)

var socketFlag = &cli.StringFlag{
	Name: "socket", Value: daemon.DefaultSocket, EnvVars: []string{"CULVERT_SOCKET"}, Usage: "talk on the unix socket `PATH`",
}

func daemonCommand() *cli.Command {
	return &cli.Command{
		Name:  "daemon",
		Usage: "keep this host's kernel what the fleet says",
		Description: "Follows the fleet's files, or the fleet in etcd, and undoes what others change, within a moment. Flows that a change\n" +
			"does not concern are not touched; when it ends, or is killed, the kernel goes on forwarding. SIGHUP has it read the\n" +
			"files and look at everything. A fleet that is wrong is refused, and the last good one stays. `culvert status` says how it is.\n\n" +
			"Examples:\n   culvert daemon -f /etc/culvert/fleet.yaml\n   culvert daemon -f fleet.yaml --host hv1 --log-format json\n" +
			"   culvert daemon --source etcd://etcd1:2379,etcd2:2379/culvert --etcd-ca /etc/culvert/ca.pem\n" +
			"   culvert daemon -f fleet.yaml --listen 127.0.0.1:9469    (status page and metrics)",
		Flags: append([]cli.Flag{
			fleetFlag, lockFlag, sourceFlag, cacheFlag, hostFlag, socketFlag, namespaceFlag, prefixFlag,
			listenFlag,
			&cli.DurationFlag{Name: "check", Value: daemon.DefaultCheck, Usage: "look at every tenant once in `TIME`, although nobody said that something changed"},
			&cli.BoolFlag{Name: "confine", Usage: "make the file system read-only for the daemon, but for what it must write"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "log as text or json"},
		}, etcdFlags...),
		Before: wellFormedAsRoot,
		Action: runDaemon,
	}
}

func runDaemon(c *cli.Context) error {
	if c.Duration("check") < time.Second {
		return inputError{fmt.Errorf("check %s: want 1s at least", c.Duration("check"))}
	}
	if c.String(socketFlag.Name) == "" {
		return inputError{fmt.Errorf("--%s is empty: name a path; without one a second daemon is not kept out", socketFlag.Name)}
	}
	listen, err := listenAddress(c)
	if err != nil {
		return err
	}
	if c.Bool("confine") {
		if err := confineDaemon(c); err != nil {
			return err
		}
	}
	log, err := logger(c)
	if err != nil {
		return err
	}
	name, err := hostName(c)
	if err != nil {
		return err
	}
	fleet, err := openSource(c, name)
	if err != nil {
		return err
	}
	service, err := daemon.OpenService()
	if err != nil {
		return err
	}
	host, err := hostNamespace(c)
	if err != nil {
		return err
	}
	beside := strings.TrimSuffix(c.String(socketFlag.Name), ".sock")
	d := daemon.New(daemon.Options{
		Host: host, Prefix: c.String(prefixFlag.Name), Name: name, Version: c.App.Version,
		Source: fleet, Verdicts: beside + ".verdicts", Known: beside + ".known",
		Socket: c.String(socketFlag.Name), Lock: agent.LockPath(c.String(namespaceFlag.Name)), Check: c.Duration("check"), Log: log, Service: service,
	})
	// The context ends with SIGTERM.
	reloadAtHangup(c.Context, d)
	group, ctx := errgroup.WithContext(c.Context)
	group.Go(func() error { return d.Run(ctx) })
	if listen != nil {
		group.Go(func() error { return web.Serve(ctx, *listen, newSite(c, d, host, fleet), log) })
	}
	return errors.Join(group.Wait(), host.Close())
}

// confineDaemon starts the daemon anew with a file system that is read-only but for the API's socket, the host's lock and its
// own files.
func confineDaemon(c *cli.Context) error {
	folder := filepath.Dir(c.String(socketFlag.Name))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the socket's folder: %w", err)
	}
	writable := []string{folder}
	if c.String(namespaceFlag.Name) == "" {
		lock := agent.LockPath("")
		if err := agent.MakeLock(lock); err != nil {
			return err
		}
		writable = append(writable, lock)
	}
	// What the service manager has made for the daemon's own files (systemd.exec(5), StateDirectory=).
	if state := os.Getenv("STATE_DIRECTORY"); state != "" {
		writable = append(writable, strings.Split(state, ":")...)
	}
	if fromEtcd(c) {
		cache := filepath.Dir(c.String(cacheFlag.Name))
		if err := os.MkdirAll(cache, 0o750); err != nil {
			return fmt.Errorf("make the folder for the fleet's cache: %w", err)
		}
		if !slices.Contains(writable, cache) {
			writable = append(writable, cache)
		}
	}
	if a, err := listenAddress(c); err == nil && a != nil && a.Network == "unix" && !slices.Contains(writable, filepath.Dir(a.Text)) {
		if err := os.MkdirAll(filepath.Dir(a.Text), 0o755); err != nil {
			return fmt.Errorf("make the folder to listen in: %w", err)
		}
		writable = append(writable, filepath.Dir(a.Text))
	}
	return confine.FileSystem(writable...)
}

// reloadAtHangup has the daemon reload at each SIGHUP until the context ends.
func reloadAtHangup(ctx context.Context, d *daemon.Daemon) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				d.Reload()
			}
		}
	}()
}

func logger(c *cli.Context) (*slog.Logger, error) {
	switch f := c.String("log-format"); f {
	case "text":
		return slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, nil)), nil
	default:
		return nil, inputError{fmt.Errorf("log format %q: want text or json", f)}
	}
}
