#!/usr/bin/python3
"""Adds an entry to the access list of an object, or takes it away: as the system itself,
which alone may do so on CN=Deleted Objects.

Usage: samba_acl.py SMB_CONF SAM_LDB DN add|remove SDDL
"""
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB


def main(conf, database, dn, verb, sddl):
    lp = LoadParm()
    lp.load(conf)
    db = SamDB(url=database, lp=lp, session_info=system_session(lp))
    found = db.search(dn, ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["show_deleted:1", "sd_flags:1:15"])
    sd = ndr_unpack(security.descriptor, found[0]["nTSecurityDescriptor"][0])
    ace = security.descriptor.from_sddl("D:" + sddl, security.dom_sid(db.get_domain_sid())).dacl.aces[0]
    if verb == "add":
        sd.dacl_add(ace)
    else:
        kept = [a for a in sd.dacl.aces if ndr_pack(a) != ndr_pack(ace)]
        if len(kept) == len(sd.dacl.aces):
            sys.exit("the access list has no such entry")
        sd.dacl.aces, sd.dacl.num_aces = kept, len(kept)
    m = ldb.Message(ldb.Dn(db, dn))
    m["sd"] = ldb.MessageElement(ndr_pack(sd), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
    db.modify(m, ["show_deleted:1", "sd_flags:1:4"])


main(*sys.argv[1:])
