package ipvs

import (
	"fmt"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
)

// Render returns the ipvsadm(8) and sysctl(8) commands that bring the state into the namespace of the given name, bare before.
func Render(namespace string, s State) []string {
	plan := Diff(State{}, s)
	var out []string
	for _, step := range append(plan.Steps, plan.Later...) {
		out = append(out, "ip netns exec "+namespace+" "+step.command())
	}
	return out
}

func (s Step) command() string {
	switch {
	case s.Setting != nil:
		return fmt.Sprintf("sysctl -qw 'net.ipv4.vs.%s=%s'", s.Setting.Name, s.Setting.Value)
	case s.Daemon != nil:
		return fmt.Sprintf("ipvsadm --start-daemon %s --mcast-interface %s --syncid %d", s.Daemon.Role, s.Daemon.Device, s.Daemon.ID)
	case s.Destination != nil:
		d, verb := s.Destination, "-a"
		if s.Verb == Change {
			verb = "-e"
		}
		return fmt.Sprintf("ipvsadm %s %s -r %s -g -w %d -x %d -y %d", verb, s.Service.option(), d.Address, d.Weight, unreached, d.Nominal)
	default:
		return fmt.Sprintf("ipvsadm -A %s -s %s%s", s.Service.option(), s.Service.Scheduler, s.Service.flagOption())
	}
}

// option names the service.
func (s Service) option() string {
	return map[config.Protocol]string{config.TCP: "-t ", config.UDP: "-u ", config.SCTP: "--sctp-service "}[s.Protocol] + s.Address.String()
}

func (s Service) flagOption() string {
	var words []string
	if s.Flags&maglev.Fallback != 0 {
		words = append(words, "mh-fallback")
	}
	if s.Flags&maglev.Port != 0 {
		words = append(words, "mh-port")
	}
	if len(words) == 0 {
		return ""
	}
	return " -b " + strings.Join(words, ",")
}
