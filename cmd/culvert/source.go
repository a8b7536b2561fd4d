package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// passwordVariable may hold etcd's password. There is no flag for it: other users can see a command line.
const passwordVariable = "CULVERT_ETCD_PASSWORD"

var (
	sourceFlag = &cli.StringFlag{
		Name: "source", EnvVars: []string{"CULVERT_SOURCE"},
		Usage: "take the fleet from `ADDRESS`: etcd://host:2379,host:2379/prefix (default: from the files)",
	}
	cacheFlag = &cli.StringFlag{
		Name: "fleet-cache", Value: "/var/lib/culvert/fleet", EnvVars: []string{"CULVERT_FLEET_CACHE"},
		Usage: "keep the last fleet of etcd in `FILE`, for a start without etcd",
	}
	// etcdFlags say how to get into etcd.
	etcdFlags = []cli.Flag{
		etcdFlag("ca", "accept servers with a certificate of those in `FILE` (PEM); without it the connection is open"),
		etcdFlag("cert", "show the certificate in `FILE` (PEM)"),
		etcdFlag("key", "the certificate's key is in `FILE` (PEM)"),
		etcdFlag("user", "be etcd's user `NAME`; the password may be in "+passwordVariable),
		etcdFlag("password-file", "the user's password is in `FILE`"),
	}
)

func etcdFlag(name, usage string) *cli.StringFlag {
	variable := "CULVERT_ETCD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return &cli.StringFlag{Name: "etcd-" + name, EnvVars: []string{variable}, Usage: usage}
}

// etcdAccess reads etcdFlags.
func etcdAccess(c *cli.Context) etcd.Access {
	return etcd.Access{
		CA: c.String("etcd-ca"), Cert: c.String("etcd-cert"), Key: c.String("etcd-key"),
		User: c.String("etcd-user"), PasswordFile: c.String("etcd-password-file"), Password: os.Getenv(passwordVariable),
	}
}

// given reports whether a flag is on the command line. The environment is set for all commands alike, and does not count; a flag with
// the same value as its variable cannot be told from it.
func given(c *cli.Context, f *cli.StringFlag) bool {
	return c.IsSet(f.Name) && !slices.ContainsFunc(f.EnvVars, func(name string) bool {
		value, set := os.LookupEnv(name) // an empty one, too
		return set && value == c.String(f.Name)
	})
}

// oneSource refuses a command line that names files and etcd: one of the two would be ignored.
func oneSource(c *cli.Context) error {
	for _, f := range []*cli.StringFlag{fleetFlag, lockFlag} {
		if given(c, sourceFlag) && given(c, f) {
			return inputError{fmt.Errorf("the fleet comes from etcd (--%s) or from files (--%s), not from both; leave one out", sourceFlag.Name, f.Name)}
		}
	}
	return nil
}

// fromEtcd reports whether the fleet comes from etcd. Who names files on the command line means them, whatever the environment says.
func fromEtcd(c *cli.Context) bool {
	return c.String(sourceFlag.Name) != "" && (given(c, sourceFlag) || !given(c, fleetFlag) && !given(c, lockFlag))
}

// openSource returns the source of fleets for a daemon that is the named host.
func openSource(c *cli.Context, host string) (source.Source, error) {
	if err := oneSource(c); err != nil {
		return nil, err
	}
	if !fromEtcd(c) {
		return source.NewFile(c.String(fleetFlag.Name), lockPath(c)), nil
	}
	address, err := etcd.ParseAddress(c.String(sourceFlag.Name))
	if err != nil {
		return nil, inputError{err}
	}
	s, err := etcd.NewSource(etcd.Config{Address: address, Access: etcdAccess(c), Host: host, Version: version, Cache: c.String(cacheFlag.Name)})
	if err != nil {
		return nil, inputError{err}
	}
	return s, nil
}

// withStore calls f with the store that the command line names.
func withStore(c *cli.Context, f func(*etcd.Store) error) error {
	if c.String(sourceFlag.Name) == "" {
		return inputError{fmt.Errorf("say where etcd is: --%s etcd://host:2379/prefix, or CULVERT_SOURCE", sourceFlag.Name)}
	}
	address, err := etcd.ParseAddress(c.String(sourceFlag.Name))
	if err != nil {
		return inputError{err}
	}
	store, err := etcd.Open(address, etcdAccess(c))
	if wrong := (etcd.AccessError{}); errors.As(err, &wrong) {
		return inputError{err}
	}
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	return f(store)
}

// loadStored reads the fleet and the lock that are in etcd.
func loadStored(c *cli.Context) (fleet *config.Fleet, lock *portmap.Lock, err error) {
	err = withStore(c, func(s *etcd.Store) error {
		now, err := readStored(c, s)
		if err != nil {
			return err
		}
		hosts, err := s.Hosts(c.Context, now)
		if err != nil {
			return err
		}
		self, err := hostName(c)
		if err != nil {
			return err
		}
		markLost(now.Fleet, hosts, self)
		fleet, lock = now.Fleet, now.Lock
		return nil
	})
	return fleet, lock, err
}

// markLost has hosts whose lease has ended count as lost, as the daemons have it. Who asks is there, whatever etcd believes.
func markLost(fleet *config.Fleet, hosts []etcd.HostStatus, self string) {
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		gone := slices.ContainsFunc(hosts, func(s etcd.HostStatus) bool { return s.Host == h.Name && s.Reported && !s.Live })
		if gone && h.State == config.Up && h.Name != self {
			h.State = config.Lost
		}
	}
}

// readStored reads what is in etcd. Nothing is an error: somebody has pushed whatever is to be shown.
func readStored(c *cli.Context, s *etcd.Store) (*etcd.Fleet, error) {
	now, err := s.Read(c.Context)
	if err == nil && now.Revision == 0 {
		err = fmt.Errorf("etcd has no fleet at %s; is the prefix right? `culvert push` puts one there", c.String(sourceFlag.Name))
	}
	return now, err
}
