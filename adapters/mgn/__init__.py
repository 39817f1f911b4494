"""AWS Application Migration Service: API 2020-02-26, in one account and region."""

from adapters.mgn.service import Mgn, mgn

__all__ = ["Mgn", "mgn"]
