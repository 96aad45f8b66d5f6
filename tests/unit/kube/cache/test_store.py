"""The store's indices say what a scan over the objects would."""

from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.api.core import KubeObject, ObjectMeta, OwnerReference
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache import Store, by_controller_uid


def by_label_values(obj: KubeObject) -> tuple[str, ...]:
    return tuple(obj.metadata.labels.values())


def thing(name: str, owner: str | None, labels: dict[str, str]) -> KubeObject:
    owners = () if owner is None else (OwnerReference(uid="x"), OwnerReference(uid=owner, controller=True))
    return KubeObject(metadata=ObjectMeta(name=name, namespace="ns", labels=labels, owner_references=owners))


names = st.sampled_from(["a", "b", "c"])
things = st.builds(
    thing, names, st.sampled_from([None, "o1", "o2"]), st.dictionaries(names, st.sampled_from(["x", "y"]), max_size=2)
)


@given(st.lists(st.one_of(things, names)))
def test_indices_follow_the_objects(operations: list[KubeObject | str]) -> None:
    store = Store({"owner": by_controller_uid, "label": by_label_values})
    expected: dict[ObjectName, KubeObject] = {}
    for operation in operations:
        if isinstance(operation, str):
            key = ObjectName("ns", operation)
            assert store.remove(key) is expected.pop(key, None)
        else:
            key = operation.metadata.object_name
            assert store.put(operation) is expected.get(key)
            expected[key] = operation
        assert list(store) == list(store.list("ns")) == list(expected.values())
        for name, indexer in (("owner", by_controller_uid), ("label", by_label_values)):
            values = {value for obj in expected.values() for value in indexer(obj)}
            assert set(store.index_values(name)) == values
            for value in values:
                found = store.by_index(name, value)
                assert {obj.metadata.name for obj in found} == {
                    obj.metadata.name for obj in expected.values() if value in indexer(obj)
                }
                assert len(found) == len({obj.metadata.name for obj in found})


def test_reads_of_what_is_not_there_are_empty() -> None:
    store: Store[KubeObject] = Store({"owner": by_controller_uid})
    assert store.get(ObjectName("ns", "a")) is None
    assert store.by_index("owner", "nobody") == ()
    assert store.list("ns") == ()
    assert len(store) == 0
    assert ObjectName("ns", "a") not in store
