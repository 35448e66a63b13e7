"""``az deployment group what-if``: creation, no change, change, ignore, delete."""

from arm_aks.world import CLUSTER, GROUP, VERSION, cluster_body, run

WHAT_IF = f"{GROUP}/providers/Microsoft.Resources/deployments/d1/whatIf"
KIND = "Microsoft.ContainerService/managedClusters"


def template(*resources, **properties):
    return {
        "properties": {
            "mode": "Incremental",
            "template": {
                "$schema": "x",
                "contentVersion": "1.0.0.0",
                "parameters": {"count": {"type": "int", "defaultValue": 2}},
                "resources": list(resources),
            },
            **properties,
        }
    }


def cluster(name="c1", **more):
    return {"type": KIND, "apiVersion": VERSION, "name": name, **cluster_body(), **more}


def pool(**properties):
    return {
        "type": f"{KIND}/agentPools",
        "apiVersion": VERSION,
        "name": "c1/gpunp",
        "properties": {"count": "[parameters('count')]", "mode": "User", **properties},
    }


async def ask(world, body):
    answer = await world.post(WHAT_IF, body, version="2024-11-01")
    assert answer.status == 200, answer
    assert answer.body["status"] == "Succeeded", answer
    return answer.properties["changes"]


def kinds(changes):
    return {change["resourceId"].rpartition("/")[2]: change["changeType"] for change in changes}


def test_creation_of_everything():
    async def story(world):
        await world.group()
        changes = await ask(world, template(cluster(), pool()))
        assert kinds(changes) == {"c1": "Create", "gpunp": "Create"}
        assert changes[1]["after"]["properties"]["count"] == 2
        assert changes[1]["after"]["name"] == "gpunp"
        assert (await world.get(CLUSTER)).status == 404

    run(story)


def test_what_was_deployed_does_not_change():
    async def story(world):
        await world.cluster()
        await world.put_pool("gpunp", {"count": 2, "mode": "User"})
        body = template(cluster(), pool())
        assert kinds(await ask(world, body)) == {"c1": "NoChange", "gpunp": "NoChange"}
        body["properties"]["parameters"] = {"count": {"value": 4}}
        changed = (await ask(world, body))[1]
        assert changed["changeType"] == "Modify"
        assert [d["path"] for d in changed["delta"]] == ["properties.count"]
        assert (
            changed["before"]["properties"]["count"],
            changed["after"]["properties"]["count"],
        ) == (
            2,
            4,
        )
        assert (await world.get_pool("gpunp")).properties["count"] == 2

    run(story)


def test_others_are_ignored_or_deleted():
    async def story(world):
        await world.cluster()
        body = template(cluster("c2"))
        assert kinds(await ask(world, body)) == {"c2": "Create", "c1": "Ignore"}
        body["properties"]["mode"] = "Complete"
        assert kinds(await ask(world, body)) == {"c2": "Create", "c1": "Delete"}

    run(story)


def test_ids_only():
    async def story(world):
        await world.cluster()
        wanted = {"resultFormat": "ResourceIdOnly"}
        changes = await ask(world, template(cluster("c2"), whatIfSettings=wanted))
        assert [set(change) for change in changes] == [{"resourceId", "changeType"}] * 2
        wanted["resultFormat"] = "Poem"
        refused = await world.post(WHAT_IF, template(whatIfSettings=wanted), version="2024-11-01")
        assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidRequestContent")

    run(story)


def test_types_of_others_are_unsupported():
    async def story(world):
        await world.group()
        storage = {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2023-01-01",
            "name": "s1",
        }
        late = pool(nodeLabels={"id": f"[reference(resourceId('{KIND}', 'c1')).fqdn]"})
        changes = await ask(world, template(storage, late))
        assert kinds(changes) == {"s1": "Unsupported", "gpunp": "Unsupported"}
        assert all(change["unsupportedReason"] for change in changes)

    run(story)


def test_an_invalid_template_is_said():
    async def story(world):
        await world.group()
        body = template(pool(count="[nonsense()]"))
        answer = await world.post(WHAT_IF, body, version="2024-11-01")
        assert (answer.status, answer.body["status"]) == (200, "Failed")
        assert answer.body["error"]["code"] == "InvalidTemplate"

    run(story)
