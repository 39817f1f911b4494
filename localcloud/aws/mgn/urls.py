"""The paths that moto routes here."""

from .responses import MGNResponse

url_bases = [r"https?://mgn\.(.+)\.amazonaws\.com"]

url_paths = {
    "{0}/tags/(?P<resourceArn>.+)$": MGNResponse.dispatch,
    "{0}/network-migration/(?P<operation>[^/]+)$": MGNResponse.dispatch,
    "{0}/(?P<operation>[^/]+)$": MGNResponse.dispatch,
}
