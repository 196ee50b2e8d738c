package store

import "slices"

// Roles of people and API keys, as the REST API spells them.
const (
	RoleOwner       = "owner"
	RoleAdmin       = "admin"
	RoleUser        = "user"
	RoleLimitedPlus = "limited_plus"
	RoleLimited     = "limited"
	RoleNone        = "" // of people who only vouch
)

// Roles lists them from the greatest to the least, without RoleNone.
var Roles = []string{RoleOwner, RoleAdmin, RoleUser, RoleLimitedPlus, RoleLimited}

// AtLeast reports whether a role reaches what another one reaches. One that is unknown
// reaches nothing.
func AtLeast(role, least string) bool {
	if role == RoleNone || least == RoleNone {
		return least == RoleNone && (role == RoleNone || slices.Contains(Roles, role))
	}
	i := slices.Index(Roles, role)
	return i >= 0 && i <= slices.Index(Roles, least)
}
