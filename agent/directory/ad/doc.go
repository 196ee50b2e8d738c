// Package ad serves Active Directory, of Microsoft or of Samba, over LDAP inside TLS:
// one atomic modify resets, unlocks and asks for a new password. It knows no shell,
// no tunnel and no policy of the agent.
package ad
