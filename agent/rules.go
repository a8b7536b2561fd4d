package agent

import (
	"errors"
	"fmt"
	"maps"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// tenantRules plans the rules of one tenant.
func (a *Agent) tenantRules(place overlay.Place, t topology.Tenant, links overlay.Plan) (nft.Plan, error) {
	var renewed []string
	for _, device := range []string{t.Device(), topology.UplinkDevice, topology.DeliveryDevice} {
		if links.Renewed(place, device) {
			renewed = append(renewed, device)
		}
	}
	return a.rules(place, nft.Desired(t), renewed)
}

// rules plans the rules of a place, where some devices will be made anew. They are not read if they are known to be right and not in doubt.
func (a *Agent) rules(place overlay.Place, desired []nft.Table, renewed []string) (plan nft.Plan, err error) {
	err = a.dial(place, func(conn *nft.Conn) error {
		if known, ok := a.known[place]; ok && !a.doubted[place] && len(renewed) == 0 {
			if still, err := conn.Still(known, desired); err != nil || still {
				return err
			}
		}
		observed, err := conn.Observe()
		if err != nil {
			return fmt.Errorf("observe the rules of %s: %w", placeName(place), err)
		}
		delete(a.known, place)
		delete(a.doubted, place)
		for _, device := range renewed {
			observed = nft.Forget(observed, device)
		}
		plan = nft.Diff(observed, desired)
		if known, ok := conn.Know(desired); ok && plan.Empty() && len(renewed) == 0 {
			a.known[place] = known
		}
		return nil
	})
	if errors.Is(err, netns.ErrNotExist) && place != overlay.HostPlace {
		a.forget(place)
		return nft.Diff(nil, desired), nil
	}
	return plan, err
}

// Known are the places whose rules are known to be right, for another agent of the same program. The value is the caller's.
func (a *Agent) Known() map[overlay.Place]nft.Known { return maps.Clone(a.known) }

// Believe takes over what another agent has known of the host.
func (a *Agent) Believe(known map[overlay.Place]nft.Known) { maps.Copy(a.known, known) }

// Doubt has the rules of all places read once more, by the next plan that each is part of. What is known stays known until that finds it
// otherwise: what was read at one generation was so, whoever reads it again.
func (a *Agent) Doubt() {
	for place := range a.known {
		a.doubted[place] = true
	}
}

// forget is for a place that is no more.
func (a *Agent) forget(place overlay.Place) {
	delete(a.known, place)
	delete(a.doubted, place)
	delete(a.settling, place)
}
