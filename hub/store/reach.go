package store

import "slices"

// AllEnvs in a list of environments stands for every one of the organisation, those to come
// among them.
const AllEnvs = "*"

// Reaches reports whether an environment is in a list. The caller has checked that it
// belongs to the organisation whose list that is.
func Reaches(envs []string, env string) bool {
	return slices.Contains(envs, AllEnvs) || slices.Contains(envs, env)
}

// Within reports whether every one of some environments is in a list: who reaches the list
// may give them to others. None is not within any.
func Within(envs, list []string) bool {
	return len(envs) > 0 && !slices.ContainsFunc(envs, func(e string) bool { return !Reaches(list, e) })
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
