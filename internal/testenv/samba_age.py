#!/usr/bin/python3
"""Makes the password of an account older: in the file of the domain itself, because no
module of the server lets anybody write that.

Usage: samba_age.py FOLDER_OF_PARTITIONS DN WHEN    (Windows time)
"""
import glob
import sys

import ldb


def main(folder, dn, when):
    base = dn[dn.upper().index("DC="):].upper()
    path = [p for p in glob.glob(folder + "/*.ldb") if p.rsplit("/", 1)[1].replace("%3D", "=").replace("%2C", ",").upper() == base + ".LDB"][0]
    db = ldb.Ldb("tdb://" + path)
    m = ldb.Message(ldb.Dn(db, dn))
    m["pwdLastSet"] = ldb.MessageElement(when, ldb.FLAG_MOD_REPLACE, "pwdLastSet")
    db.modify(m)


main(*sys.argv[1:])
