package lab

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestMeeting has three hosts meet: the first two wait for the third, also if that ends before it comes to the place.
func TestMeeting(t *testing.T) {
	for _, third := range []string{"comes", "ends"} {
		t.Run(third, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				join := meeting(3)
				var mu sync.Mutex
				var went []string
				note := func(who string) {
					mu.Lock()
					defer mu.Unlock()
					went = append(went, who)
				}
				for range 2 {
					arrive, meet := join()
					go func() {
						defer arrive()
						meet()
						note("early")
					}()
				}
				synctest.Wait()
				note("late")
				arrive, meet := join()
				if third == "comes" {
					meet()
				}
				arrive()
				synctest.Wait()
				if want := []string{"late", "early", "early"}; !slices.Equal(went, want) {
					t.Errorf("went on: %q, want %q", went, want)
				}
			})
		})
	}
}
