package store

import (
	"context"
	"slices"
)

// AllEnvs in a list of environments stands for every one of the organisation, those to come
// among them.
const AllEnvs = "*"

// Reaches reports whether an environment is in a list. The caller has checked that it
// belongs to the organisation whose list that is.
func Reaches(envs []string, env string) bool {
	return slices.Contains(envs, AllEnvs) || slices.Contains(envs, env)
}

// Within reports whether every one of some environments is in a list: who reaches the list
// may give them to others. None, which is what is left to whoever worked only where an
// environment was removed, is within a list of all alone.
func Within(envs, list []string) bool {
	if len(envs) == 0 {
		return slices.Contains(list, AllEnvs)
	}
	return !slices.ContainsFunc(envs, func(e string) bool { return !Reaches(list, e) })
}

// Common returns what is left of some environments for whoever reaches no more than a list.
func Common(envs, list []string) (both []string) {
	if slices.Contains(envs, AllEnvs) {
		return slices.Clone(list)
	}
	for _, e := range envs {
		if Reaches(list, e) {
			both = append(both, e)
		}
	}
	return both
}

// leaveEnvironment takes an environment that is removed off the lists of people and of API
// keys. A list of which nothing is left reaches nothing, and a key that has one is switched
// off.
func (tx *Tx) leaveEnvironment(ctx context.Context, env string) error {
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return err
	}
	if err := tx.staffLeave(ctx, e); err != nil {
		return err
	}
	return tx.keysLeave(ctx, e)
}

func (tx *Tx) staffLeave(ctx context.Context, e Environment) error {
	all, err := All(ctx, tx, scanStaff, "SELECT "+staffColumns+" FROM staff WHERE org = $1 AND envs LIKE $2", e.Org, mentions(e.ID))
	for _, s := range all {
		if _, err := tx.Exec(ctx, "UPDATE staff SET envs = $3 WHERE org = $1 AND id = $2", s.Org, s.ID, JSON(without(s.Envs, e.ID))); err != nil {
			return err
		}
	}
	return err
}

func (tx *Tx) keysLeave(ctx context.Context, e Environment) error {
	all, err := All(ctx, tx, scanAPIKey, "SELECT "+apiKeyColumns+" FROM api_keys WHERE org = $1 AND envs LIKE $2", e.Org, mentions(e.ID))
	for _, k := range all {
		if k.Envs = without(k.Envs, e.ID); len(k.Envs) == 0 {
			k.Enabled = false
		}
		if err := tx.UpdateAPIKey(ctx, k.Org, k); err != nil {
			return err
		}
	}
	return err
}

// mentions is the pattern of the lists that may have an environment.
func mentions(env string) string { return `%"` + env + `"%` }

// without is a list without an environment: perhaps empty, and never nil, which JSON has
// another word for.
func without(envs []string, env string) []string {
	return slices.DeleteFunc(append([]string{}, envs...), func(e string) bool { return e == env })
}
