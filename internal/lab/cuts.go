package lab

import (
	"context"
	"fmt"
	"slices"
)

// Partition cuts every party of a off from every one of b, until [Lab.Heal].
// Parties are machines, "client" and "mgmt".
func (l *Lab) Partition(ctx context.Context, a, b []string) error {
	for _, name := range slices.Concat(a, b) {
		if err := l.checkParty(name); err != nil {
			return err
		}
	}
	cuts, err := l.cuts()
	if err != nil {
		return err
	}
	for _, c := range cutsBetween(a, b) {
		if !slices.Contains(cuts, c) {
			cuts = append(cuts, c)
		}
	}
	return l.applyCuts(ctx, cuts)
}

// Heal undoes partitions: those between a and b, or all if both are empty.
func (l *Lab) Heal(ctx context.Context, a, b []string) error {
	if len(a) == 0 && len(b) == 0 {
		return l.applyCuts(ctx, nil)
	}
	cuts, err := l.cuts()
	if err != nil {
		return err
	}
	healed := cutsBetween(a, b)
	return l.applyCuts(ctx, slices.DeleteFunc(cuts, func(c Cut) bool { return slices.Contains(healed, c) }))
}

// cuts returns the partitions that stand.
func (l *Lab) cuts() ([]Cut, error) {
	var cuts []Cut
	_, err := loadJSON(l.cutsPath(), &cuts)
	return cuts, err
}

// applyCuts makes exactly these partitions stand. The file comes first: a run
// that is killed between the two is repaired by the next.
func (l *Lab) applyCuts(ctx context.Context, cuts []Cut) error {
	if _, err := l.holder(fabric); err != nil {
		return err
	}
	if err := saveJSON(l.cutsPath(), cuts); err != nil {
		return err
	}
	return l.feed(ctx, fabric, cutRuleset(cuts), "nft", "-f", "-")
}

func (l *Lab) checkParty(name string) error {
	if name == string(client) || name == string(mgmt) {
		return nil
	}
	if _, err := l.loadRecord(name); err != nil {
		return fmt.Errorf("%w, and the sites client and mgmt", err)
	}
	return nil
}
