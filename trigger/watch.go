package trigger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Watch hears notifications for one host.
type Watch struct {
	host       *netns.NS
	route      *listener
	rules      *listener
	names      *folders
	parameters *folders
	ids        *netlink.Handle
}

// groups are rtnetlink's that we hear (linux/rtnetlink.h).
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// groupRules is nftables' (linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES).
const groupRules = 7

// Open begins to listen for the host whose own namespace is given: what happens from now on is told by Run. Call Close when
// done.
func Open(host *netns.NS) (w *Watch, err error) {
	w = &Watch{host: host}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("listen to the kernel: %w", err), w.Close())
		}
	}()
	if w.ids, err = netlink.NewHandleAt(vnetns.NsHandle(host.Fd()), unix.NETLINK_ROUTE); err != nil {
		return w, err
	}
	if w.route, err = listen(host, unix.NETLINK_ROUTE, groups...); err != nil {
		return w, err
	}
	if w.rules, err = listen(host, unix.NETLINK_NETFILTER, groupRules); err != nil {
		return w, err
	}
	if err := w.rules.keep(newGeneration); err != nil {
		return w, err
	}
	if err := os.MkdirAll(netns.Dir, 0o755); err != nil {
		return w, err
	}
	if w.names, err = openFolders(unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO); err != nil {
		return w, err
	}
	if _, err = w.names.add(netns.Dir, Host); err != nil {
		return w, err
	}
	w.parameters, err = openFolders(unix.IN_MODIFY)
	return w, err
}

// Run calls tell for each event until the context ends, from several goroutines. It returns nil then, and an error if it cannot go on.
func (w *Watch) Run(ctx context.Context, tell func(Event)) error {
	group, ctx := errgroup.WithContext(ctx)
	devices, err := w.devices()
	if err != nil {
		return err
	}
	group.Go(func() error { return w.route.run(ctx, devices.reader(tell), tell) })
	group.Go(func() error {
		return w.rules.run(ctx, func(space Space, _ message) { tell(Event{Kind: Rules, Space: space}) }, tell)
	})
	group.Go(func() error {
		return w.names.run(ctx, func(_ Space, name string) { tell(Event{Kind: Name, Space: Host, Name: name}) }, tell)
	})
	group.Go(func() error {
		return w.parameters.run(ctx, func(space Space, _ string) { tell(Event{Kind: Parameter, Space: space}) }, tell)
	})
	return group.Wait()
}

// devices reads which devices the host's namespace has now.
func (w *Watch) devices() (devices, error) {
	d := devices{}
	err := w.host.Do(func() error {
		list, err := net.Interfaces()
		for _, i := range list {
			d[int32(i.Index)] = i.Name
		}
		return err
	})
	return d, err
}

// ID returns the number of a namespace, and gives it one if it has none: only namespaces with a number are heard. It also begins to watch
// the parameters there. With an error the number is [Host], which no namespace but the host's own has (0 is the first real number), unless it
// is only the parameters that cannot be watched.
func (w *Watch) ID(ns *netns.NS) (Space, error) {
	id, err := w.ids.GetNetNsIdByFd(ns.Fd())
	if err == nil && id < 0 {
		if err = w.ids.SetNetNsIdByFd(ns.Fd(), -1); err == nil || errors.Is(err, unix.EEXIST) {
			id, err = w.ids.GetNetNsIdByFd(ns.Fd())
		}
	}
	if err != nil {
		return Host, fmt.Errorf("number namespace %s: %w", ns.Name(), err)
	}
	return Space(id), w.watchParameters(ns, Space(id))
}

// parameterFolders hold parameters that no netlink message tells of.
var parameterFolders = []string{"net/ipv4", "net/ipv4/conf/all", "net/ipv4/conf/default", "net/ipv6/conf/default", "net/netfilter", "net/ipv4/vs"}

// watchParameters watches the namespace-wide parameters of a namespace. A folder that does not exist yet (connection
// tracking makes its own when the first rule needs it) is taken at the next call. The watches of a namespace that had the number before end.
func (w *Watch) watchParameters(ns *netns.NS, space Space) error {
	var watched []int32
	err := ns.Do(func() error {
		for _, f := range parameterFolders {
			descriptor, err := w.parameters.add("/proc/sys/"+f, space)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			watched = append(watched, descriptor)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.parameters.keep(space, watched...)
}

// Forget ends what [Watch.ID] began for a namespace that is gone, or of no interest any more.
func (w *Watch) Forget(space Space) error { return w.parameters.keep(space) }

// Close ends the watch.
func (w *Watch) Close() error {
	var errs []error
	if w.ids != nil {
		errs = append(errs, w.ids.Close())
	}
	for _, l := range []*listener{w.route, w.rules} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	for _, f := range []*folders{w.names, w.parameters} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
